"""The mark that the processes of a run carry in their environment, and finding those that left their group."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aelastic.process.family import kill_process

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

MARKER = "AELASTIC_FAMILY"
DETACH = "AELASTIC_DETACH"

_DETACHED = re.compile(rb"(?:\A|\0)AELASTIC_DETACH=1(?:\0|\Z)")
_BREATH = 0.05  # seconds that killed processes get to vanish before they are looked for again
_WATCHED_AT_ONCE = 16


@dataclass(slots=True)
class Hunted:
    """What of a run was found outside its groups: pids by rank. Killed, still there on purpose, or not to be killed."""

    killed: dict[int, list[int]] = field(default_factory=dict)
    detached: dict[int, list[int]] = field(default_factory=dict)
    survivors: dict[int, list[int]] = field(default_factory=dict)


class Quarry:
    """What to look for: the processes of ``run``, or of one ``rank`` of it."""

    def __init__(self, run: str, rank: int | None = None) -> None:
        which = r"\d{1,9}" if rank is None else str(rank)
        self._mark = re.compile(rf"(?:\A|\0){MARKER}=[^\0]*:{re.escape(run)}\.({which}):".encode())

    def rank_of(self, environ: bytes) -> int | None:
        """The rank whose mark is in ``environ``."""
        found = self._mark.search(environ)
        return int(found[1]) if found else None

    def is_meant(self, pid: int) -> bool:
        """Whether the process is one of them, and not there on purpose."""
        environ = _environ(pid)
        return self.rank_of(environ) is not None and not _DETACHED.search(environ)


def mark(run: str, rank: int, outer: str) -> str:
    """The value of ``MARKER`` for ``rank`` of ``run``; ``outer`` is our own, when we are a rank ourselves.

    The runs around us stay in it, so that whoever ends finds everything inside.
    """
    return f"{outer or ':'}{run}.{rank}:"


def marks_can_be_read() -> bool:
    """Whether this system shows the environment of processes, as Linux does."""
    return os.path.exists("/proc/self/environ")


def is_detached(pid: int) -> bool:
    """Whether the process was started on purpose to outlive its run."""
    return _DETACHED.search(_environ(pid)) is not None


def last_pid() -> int | None:
    """The pid that was given away last, as far as this system tells."""
    with contextlib.suppress(OSError, ValueError), open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[-1])
    return None


def hunt(quarry: Quarry, patience: float, clock: Callable[[], float], given_up: Container[int] = ()) -> Hunted:
    """Kill every process of ``quarry`` but ``given_up``, until none is left or ``patience`` seconds are over.

    Processes of other users show us neither their environment nor would they take our signal. Blocks; one look takes
    about 20 us for every process of the system. Raises ``OSError`` when no descriptor is left to look with.
    """
    hunted = Hunted()
    deadline = clock() + patience
    while found := {pid: rank for pid, rank in _look(quarry, hunted).items() if pid not in given_up}:
        for pid, rank in found.items():
            if kill_process(pid, quarry.is_meant):
                hunted.killed.setdefault(rank, []).append(pid)
        if clock() > deadline:
            for pid, rank in found.items():
                hunted.survivors.setdefault(rank, []).append(pid)
            break
        _wait_for_any(list(found)[:_WATCHED_AT_ONCE])
    return hunted


def _look(quarry: Quarry, hunted: Hunted) -> dict[int, int]:
    """Pid to rank of those that are to be killed; those that are there on purpose are noted in ``hunted``."""
    found = {}
    hunted.detached = {}
    for pid in _pids():
        environ = _environ(pid)
        rank = quarry.rank_of(environ)
        if rank is None:
            continue
        if _DETACHED.search(environ):
            hunted.detached.setdefault(rank, []).append(pid)
        else:
            found[pid] = rank
    return found


def _environ(pid: int) -> bytes:
    """Empty when the process has just ended, or is none of our business."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
    return b""


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _wait_for_any(pids: list[int]) -> None:
    """Until one of them is gone, or a breath."""
    poll = select.poll()
    descriptors = []
    for pid in pids:
        with contextlib.suppress(AttributeError, OSError):
            descriptors.append(os.pidfd_open(pid))
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(_BREATH * 1000)
    for descriptor in descriptors:
        os.close(descriptor)
