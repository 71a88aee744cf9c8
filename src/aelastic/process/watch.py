"""Being told that a process has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aelastic.process.family import Family, can_signal_by

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("aelastic")

OnExit: TypeAlias = "Callable[[int, float], None]"

UNKNOWN_EXITCODE = 255  # somebody else reaped the process; asyncio's value for it


class Process(Protocol):
    """A started process. Its own session, so ``family`` is all that has not left its group."""

    pid: int
    family: Family


class Watch:
    """Calls ``on_readable`` once, in this loop, when ``descriptor``, somebody else's, is readable."""

    def __init__(self, descriptor: int, on_readable: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._on_readable = on_readable
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._readable)

    def close(self) -> None:
        """Watch no longer. Can be called again."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = -1

    def _readable(self) -> None:
        self.close()
        self._on_readable()


class WatchedProcess:
    """A process that is watched through its pidfd, or by a thread where there are no pidfds.

    ``reap`` gives the exit code once the process has ended; ``on_exit`` gets it, and the time of the kernel's word by
    ``clock``. ``sentinel`` is a descriptor that is readable when there is something to reap, for processes that are
    not our own children: their parent may tell of several ends at once, in an order of its own.
    Raises ``OSError`` or ``RuntimeError`` when there is nothing left to watch with; the process is gone then.
    """

    def __init__(
        self,
        pid: int,
        reap: Callable[[], int],
        on_exit: OnExit,
        clock: Callable[[], float],
        sentinel: int | None = None,
    ) -> None:
        self.pid = pid
        self.family = Family(pid, open_pidfd(pid))
        self._reap = reap
        self._on_exit = on_exit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._ended_at: float | None = None
        self._watches: list[Watch] = []
        try:
            self._watch(sentinel)
        except (OSError, RuntimeError):
            self.family.signal(signal.SIGKILL)
            self._close()
            reap()
            raise

    def _watch(self, sentinel: int | None) -> None:
        if self.family.pidfd is not None:
            on_end = self._ended if sentinel is None else self._note_end
            self._watches.append(Watch(self.family.pidfd, on_end))
        if sentinel is not None:
            self._watches.append(Watch(sentinel, self._ended))
        if not self._watches:
            threading.Thread(target=self._wait_in_thread, name=f"aelastic-wait-{self.pid}", daemon=True).start()

    def _wait_in_thread(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        at = self._note_end()
        self._close()
        self._on_exit(self._reap(), at)

    def _note_end(self) -> float:
        """When it ended, by whoever told it first."""
        if self._ended_at is None:
            self._ended_at = self._clock()
            self.family.sweep()  # before reaping: until then the id cannot be anybody else's
        return self._ended_at

    def _close(self) -> None:
        for watch in self._watches:
            watch.close()
        self.family.close()


def open_pidfd(pid: int) -> int | None:
    """A descriptor of the process to wait and signal with; None where there is none, or the process was reaped."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:  # not Linux, an old kernel, a sandbox, no descriptor left
        logger.debug("no pidfd of process %d: %s", pid, error)
        return None
    if can_signal_by(pidfd):
        return pidfd
    os.close(pidfd)
    return None
