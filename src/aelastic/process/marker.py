"""The mark that the processes of a run carry in their environment, and finding those that left their group."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aelastic.process.family import kill_process

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

MARKER = "AELASTIC_FAMILY"
DETACH = "AELASTIC_DETACH"

_VARIABLE = b"AELASTIC_FAMILY="
_LONGEST_NUMBER = 10
_AT_ONCE = 64 * 1024
_BREATH = 0.05  # seconds that killed processes get to vanish before they are looked for again
_SHORT_BREATH = 0.001
_FLAGS, _BEGIN, _END = 5, 46, 47  # where they are in /proc/<pid>/stat, counted from the parent's pid
_AT_WORK = (b"R", b"D")  # running, or waiting for a disk: nobody sleeps in the middle of an exec
_KERNEL_THREAD = 0x200000
_WATCHED_AT_ONCE = 16
_ROUNDS = 3  # looks, as long as there are new processes: one that is gone by now may have started another


@dataclass(frozen=True, slots=True)
class Hunted:
    """What of a run was found outside its groups: pids by rank. Killed, still there on purpose, or not to be killed."""

    killed: dict[int, list[int]] = field(default_factory=dict)
    detached: dict[int, list[int]] = field(default_factory=dict)
    survivors: dict[int, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a process. ``rank`` None: it is none of those. ``starting``: nothing can be told yet.

    ``detached``: it was started on purpose to outlive its run.
    """

    rank: int | None = None
    detached: bool = False
    starting: bool = False


class Quarry:
    """What to look for: the processes of ``run``, or of one ``rank`` of it."""

    def __init__(self, run: str, rank: int | None = None) -> None:
        self._needle = f":{run}.".encode()
        self._rank = rank

    def look(self, pid: int) -> Look:
        """Look at ``pid``. Raises ``OSError`` when no descriptor is left to look with."""
        environ = _environ(pid)
        if environ is None:
            return Look()
        if not environ:
            return Look(starting=_is_starting(pid))
        rank = self._rank_in(environ)
        return Look() if rank is None else Look(rank, _is_detached(environ))

    def is_meant(self, pid: int) -> bool:
        """Whether the process is one of them, and not there on purpose."""
        look = self.look(pid)
        return look.rank is not None and not look.detached

    def _rank_in(self, environ: bytes) -> int | None:
        """The rank that a mark in ``environ`` names, if it is one of those. A process can write there what it likes."""
        if self._needle in environ:
            for variable in environ.split(b"\0"):
                number = variable.partition(self._needle)[2].partition(b":")[0]
                is_one = variable.startswith(_VARIABLE) and number.isdigit() and len(number) < _LONGEST_NUMBER
                if is_one and self._rank in (None, int(number)):
                    return int(number)
        return None


def mark(run: str, rank: int, outer: str) -> str:
    """The value of ``MARKER`` for ``rank`` of ``run``; ``outer`` is our own, when we are a rank ourselves.

    The runs around us stay in it, so that whoever ends finds everything inside.
    """
    return f"{outer or ':'}{run}.{rank}:"


def marks_can_be_read() -> bool:
    """Whether this system shows the environment of processes, as Linux does."""
    return os.path.exists("/proc/self/environ")


def is_detached(pid: int) -> bool | None:
    """Whether the process was started on purpose to outlive its run; None when that cannot be told yet."""
    environ = _environ(pid)
    if environ == b"" and _is_starting(pid):
        return None
    return _is_detached(environ or b"")


def _is_detached(environ: bytes) -> bool:
    return b"\0AELASTIC_DETACH=1\0" in b"\0" + environ + b"\0"


def carriers(mark: str) -> Iterator[int]:
    """The processes that carry ``mark``, a value of ``MARKER``, or one of a run inside it."""
    needle = f"{MARKER}={mark}".encode()
    return (pid for pid in _pids() if needle in (_environ(pid) or b""))


def last_pid() -> int | None:
    """The pid that was given away last, as far as this system tells."""
    with contextlib.suppress(OSError, ValueError):
        return int(read_all("/proc/loadavg").split()[-1])
    return None


def hunt(quarry: Quarry, patience: float, clock: Callable[[], float], given_up: Container[int] = ()) -> Hunted:
    """Kill every process of ``quarry`` but ``given_up``, until none is left or ``patience`` seconds are over.

    Processes of other users show us neither their environment nor would they take our signal. Blocks; one look takes
    about 20 us for every process of the system. Raises ``OSError`` when no descriptor is left to look with.
    """
    killed: dict[int, int] = {}
    deadline = clock() + patience
    for rounds in itertools.count(1):
        last = last_pid()
        looks = {pid: quarry.look(pid) for pid in _pids() if pid not in given_up}
        ranks = {pid: look.rank for pid, look in looks.items() if look.rank is not None}
        found = {pid: rank for pid, rank in ranks.items() if not looks[pid].detached}
        killed |= {pid: rank for pid, rank in found.items() if kill_process(pid, quarry.is_meant)}
        settled = not found and not any(look.starting for look in looks.values())
        if (settled and (rounds >= _ROUNDS or last == last_pid())) or clock() > deadline:
            break
        _wait_for_any(list(found)[:_WATCHED_AT_ONCE])
    detached = {pid: rank for pid, rank in ranks.items() if looks[pid].detached}
    return Hunted(_by_rank(killed), _by_rank(detached), _by_rank(found))


def _by_rank(ranks: Mapping[int, int]) -> dict[int, list[int]]:
    grouped: dict[int, list[int]] = {}
    for pid, rank in ranks.items():
        grouped.setdefault(rank, []).append(pid)
    return grouped


def _environ(pid: int) -> bytes | None:
    """None when the process has just ended, or is none of our business."""
    try:
        path = f"/proc/{pid}/environ"
        return read_all(path) or read_all(path)  # empty: it may have become another program under our eyes
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
    return None


def read_all(path: str) -> bytes:
    """What the kernel tells at ``path``, in as few calls as it takes: each lets another thread run first."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(descriptor, _AT_ONCE)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, _AT_ONCE))
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _is_starting(pid: int) -> bool:
    """Whether a process that showed no environment was just becoming another program; else it has none."""
    with contextlib.suppress(OSError):
        state, *numbers = read_all(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if state in _AT_WORK and not int(numbers[_FLAGS]) & _KERNEL_THREAD:
            return numbers[_END] == b"0" or numbers[_BEGIN] != numbers[_END]
    return False


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _wait_for_any(pids: list[int]) -> None:
    """Until one of them is gone, or a breath; a short one when there is nobody to wait for."""
    poll = select.poll()
    descriptors = []
    for pid in pids:
        with contextlib.suppress(AttributeError, OSError):
            descriptors.append(os.pidfd_open(pid))
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll((_BREATH if descriptors else _SHORT_BREATH) * 1000)
    for descriptor in descriptors:
        os.close(descriptor)
