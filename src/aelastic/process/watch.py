"""Being told that a process has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Protocol

from aelastic.process.family import Family

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("aelastic")


UNKNOWN_EXITCODE = 255  # somebody else reaped the process; asyncio's value for it


class Process(Protocol):
    """A started process. Its own session, so ``family`` is all that has not left its group."""

    pid: int
    family: Family


class WatchedProcess:
    """A process that is watched through its pidfd, or by a thread where there are no pidfds.

    ``reap`` gives the exit code once the process has ended; ``sentinel`` is a descriptor that is readable then, for
    processes that are not our own children.
    """

    def __init__(
        self, pid: int, reap: Callable[[], int], on_exit: Callable[[int], None], sentinel: int | None = None
    ) -> None:
        self.pid = pid
        self._reap = reap
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._pidfd = _open_pidfd(pid)
        self.family = Family(pid, self._pidfd)
        self._watched = self._pidfd if sentinel is None else sentinel
        if self._watched is None:
            threading.Thread(target=self._wait_in_thread, name=f"aelastic-wait-{pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._watched, self._ended)

    def _wait_in_thread(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
        if self._pidfd is not None:
            os.close(self._pidfd)
        self.family.pidfd = None
        self.family.sweep()  # before reaping: until then the id cannot be anybody else's
        self._on_exit(self._reap())


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError) as error:  # not Linux, an old kernel, a sandbox, no descriptor left
        logger.debug("no pidfd (%s): a thread waits for process %d", error, pid)
        return None
