"""Starting one process and being told of its end, by the means that suits the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from aelastic.process.blocking import UNKNOWN_EXITCODE, wait_for_ends
from aelastic.process.family import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger("aelastic")

OnExit: TypeAlias = "Callable[[int, float], None]"

_TURNS_TO_CONNECT = 4  # of the loop, until a transport has introduced itself
_LONGEST_REAPING = 1.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``stdout`` and ``stderr`` are descriptors for the process, or None to share ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdout: int | None
    stderr: int | None


class Process(Protocol):
    """A started process. Its own session, so ``family`` is all that has not left its group."""

    pid: int
    family: Family


async def launch(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    """Start ``command`` with ``/dev/null`` as its input.

    ``on_exit`` is called once, in this loop, as soon as the kernel says that the process ended, with its exit code
    (negative: a signal) and the time of the kernel's word by ``clock``; what was left of its group has been killed by
    then.

    A stock asyncio loop starts the process through its own subprocess API. Other loops (uvloop) fork the whole
    application for that, which takes 100 ms from 2 GB of memory; there ``Popen`` (vfork, 0.3 ms) and a pidfd do it.

    Raises ``OSError`` when the kernel refuses. Must not be cancelled half-way.
    """
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return await _launch_by_loop(command, on_exit, clock)
    return _launch_by_popen(command, on_exit, clock)


class _Watch:
    """Calls ``on_end`` once, in this loop, when the process has ended; reaps nothing. Raises ``OSError``."""

    def __init__(self, pid: int, on_end: Callable[[], object]) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(pid)
        try:
            self._loop.add_reader(self._pidfd, self._ended)
        except OSError:
            os.close(self._pidfd)
            raise

    def close(self) -> None:
        """Watch no longer. Can be called again."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _ended(self) -> None:
        self.close()
        self._on_end()


class _LoopProcess(asyncio.SubprocessProtocol):
    """A process that the loop watches and reaps."""

    def __init__(self, on_exit: OnExit, clock: Callable[[], float]) -> None:
        self._on_exit = on_exit
        self._clock = clock
        self._transport: asyncio.SubprocessTransport | None = None
        self._watch: _Watch | None = None
        self._ended_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()
        self.family = Family(self.pid)
        if sys.version_info < (3, 12):
            # This loop is told of ends by one thread per process, and a busy interpreter lets those run in any order.
            with contextlib.suppress(AttributeError, OSError):
                self._watch = _Watch(self.pid, self._ended)

    def process_exited(self) -> None:
        at = self._ended()
        transport = cast("asyncio.SubprocessTransport", self._transport)
        exitcode = transport.get_returncode()
        transport.close()
        self._on_exit(UNKNOWN_EXITCODE if exitcode is None else exitcode, at)

    async def undo(self) -> None:
        """The launch failed. If there is a process (but nothing left to watch it with), it goes as well."""
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        if self._transport is not None:
            self.family.signal(signal.SIGKILL)
            wait_for_ends({0: self.pid}, _LONGEST_REAPING)
            self._transport.close()

    def _ended(self) -> float:
        """When it ended, by whoever told it first."""
        if self._ended_at is None:
            self._ended_at = self._clock()
            self.family.sweep()
            if self._watch is not None:
                self._watch.close()
        return self._ended_at


async def _launch_by_loop(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    process = _LoopProcess(on_exit, clock)
    try:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: process,
            *command.argv,
            stdin=subprocess.DEVNULL,
            stdout=command.stdout,
            stderr=command.stderr,
            env=command.env,
            start_new_session=True,
        )
    except Exception:
        await process.undo()
        raise
    return process


class _PopenProcess:
    """A process that is watched through its pidfd, or by a thread where there are no pidfds."""

    def __init__(self, popen: subprocess.Popen[bytes], on_exit: OnExit, clock: Callable[[], float]) -> None:
        self._popen = popen
        self._on_exit = on_exit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.pid = popen.pid
        self.family = Family(popen.pid)

    def watch(self) -> None:
        """Begin to wait for the end."""
        try:
            _Watch(self.pid, self._ended)
        except (AttributeError, OSError) as error:  # not Linux, an old kernel, a sandbox, no descriptor left
            logger.debug("no pidfd (%s): a thread waits for process %d", error, self.pid)
            threading.Thread(target=self._wait_in_thread, name=f"aelastic-wait-{self.pid}", daemon=True).start()

    def _wait_in_thread(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        at = self._clock()
        self.family.sweep()  # before reaping: until then the id cannot be anybody else's
        try:
            _, status = os.waitpid(self.pid, 0)
            exitcode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            exitcode = UNKNOWN_EXITCODE
            logger.warning("process %d was reaped by somebody else; its exit code is not known", self.pid)
        self._popen.returncode = exitcode
        self._on_exit(exitcode, at)


def _launch_by_popen(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    popen = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=command.stdout,
        stderr=command.stderr,
        env=command.env,
        start_new_session=True,
    )
    process = _PopenProcess(popen, on_exit, clock)
    try:
        process.watch()
    except Exception:  # neither a descriptor nor a thread is left to watch it with
        process.family.signal(signal.SIGKILL)
        popen.wait()
        raise
    return process
