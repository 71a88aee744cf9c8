"""The first code of a rank that was forked, from the application or from multiprocessing's fork server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aelastic.errors.handler import record
from aelastic.worker.bootstrap import run_and_deliver
from aelastic.worker.redirects import flush_c_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOWHERE = -3  # subprocess.DEVNULL, without the import

_replaced: list[object] = []  # closing the application's streams would close the descriptors under ours


@dataclass(frozen=True, slots=True)
class Entry:
    """What makes a fork a rank. Descriptors are numbers in the rank; None keeps the stream, ``NOWHERE`` drops it.

    ``close``: descriptors of the supervisor that the rank must not hold; ``cpus``: where it may run, None for anywhere.
    ``guardian_end`` takes the word that the rank is there, ``members_file`` its pid, before any other code runs.
    """

    env: dict[str, str] = field(repr=False)
    stdout: int | None
    stderr: int | None
    value_end: int
    token: bytes
    close: tuple[int, ...] = ()
    cpus: frozenset[int] | None = None
    guardian_end: int | None = None
    members_file: str | None = None


def enter_and_run(entry: Entry, function: Callable[..., Any], args: Sequence[Any]) -> None:
    """Become a rank, then run ``function`` and deliver its value."""
    _enter(entry)
    _run(entry, function, args)


def receive_and_enter(values: dict[str, Any], descriptors: dict[str, Any]) -> Entry:
    """Become a rank as soon as its entry has come through multiprocessing's fork server, with its ``descriptors``.

    What comes next is its function: importing that may take long, and is the rank's own business.
    """
    entry = Entry(**values, **{name: descriptor.detach() for name, descriptor in descriptors.items()})
    _enter(entry)
    return entry


def run_packed(entry: Entry, packed: tuple[Callable[..., Any], Sequence[Any]]) -> None:
    """Run what came through multiprocessing's fork server, in the rank that has become one."""
    _run(entry, *packed)


def _enter(entry: Entry) -> None:
    _reset_signals()
    _forget_executors()
    os.setsid()
    _enrol(entry)
    _replace_streams(entry)
    for descriptor in entry.close:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(entry.env)
    if entry.cpus is not None:
        os.sched_setaffinity(0, entry.cpus)


def _run(entry: Entry, function: Callable[..., Any], args: Sequence[Any]) -> None:
    try:
        record(run_and_deliver)(function, args, entry.value_end, entry.token)
    finally:
        flush_c_streams()  # multiprocessing ends its processes without that


def _enrol(entry: Entry) -> None:
    """From here on this process ends with its supervisor: until then it has held the guardian's pipe open."""
    if entry.guardian_end is not None:
        with contextlib.suppress(OSError):
            os.write(entry.guardian_end, f"+ g{os.getpid()}\n".encode())
        os.close(entry.guardian_end)
    if entry.members_file is not None:
        with contextlib.suppress(OSError), open(entry.members_file, "w", encoding="utf-8") as members:
            members.write("0")


def _reset_signals() -> None:
    """Forget the application's handlers before a signal can reach them; the supervisor has blocked all until now."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _forget_executors() -> None:
    """Wait for no thread of the application's at the end: none is here, but one of them may be who has forked us."""
    executors = sys.modules.get("concurrent.futures.thread")
    if executors is not None:
        executors._threads_queues.clear()


def _replace_streams(entry: Entry) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    _replaced.extend((sys.stdout, sys.stderr))
    if entry.stdout is not None:
        os.dup2(null if entry.stdout == NOWHERE else entry.stdout, 1)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    if entry.stderr is not None:
        os.dup2(null if entry.stderr == NOWHERE else entry.stderr, 2)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    os.close(null)
