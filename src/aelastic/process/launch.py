"""Starting one process and being told of its end, by the means that suits the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from aelastic.process.family import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger("aelastic")

UNKNOWN_EXITCODE = 255  # somebody else reaped the process; asyncio's value for it


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


async def launch(command: Command, on_exit: Callable[[int], None]) -> Process:
    """Start ``command`` with ``/dev/null`` as its input.

    ``on_exit`` is called once, in this loop, as soon as the kernel says that the process ended, with its exit code
    (negative: a signal); what was left of its group has been killed by then.

    A stock asyncio loop starts the process through its own subprocess API. Other loops (uvloop) fork the whole
    application for that, which takes 100 ms from 2 GB of memory; there ``Popen`` (vfork, 0.3 ms) and a pidfd do it.

    Raises ``OSError`` when the kernel refuses. Must not be cancelled half-way.
    """
    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        return await _launch_by_loop(command, on_exit)
    return _launch_by_popen(command, on_exit)


class _LoopProcess(asyncio.SubprocessProtocol):
    """A process that the loop watches and reaps."""

    def __init__(self, on_exit: Callable[[int], None]) -> None:
        self._on_exit = on_exit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()
        self.family = Family(self.pid)

    def process_exited(self) -> None:
        self.family.sweep()
        exitcode = self._transport.get_returncode()
        self._transport.close()
        self._on_exit(UNKNOWN_EXITCODE if exitcode is None else exitcode)


async def _launch_by_loop(command: Command, on_exit: Callable[[int], None]) -> Process:
    _, process = await asyncio.get_running_loop().subprocess_exec(
        lambda: _LoopProcess(on_exit),
        *command.argv,
        stdin=subprocess.DEVNULL,
        stdout=command.stdout,
        stderr=command.stderr,
        env=command.env,
        start_new_session=True,
    )
    return process


class _PopenProcess:
    """A process that is watched through its pidfd, or by a thread where there are no pidfds."""

    def __init__(self, popen: subprocess.Popen[bytes], on_exit: Callable[[int], None]) -> None:
        self._popen = popen
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._pidfd: int | None = None
        self.pid = popen.pid
        self.family = Family(popen.pid)

    def watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError) as error:  # not Linux, an old kernel, a sandbox, no descriptor left
            logger.debug("no pidfd (%s): a thread waits for process %d", error, self.pid)
            threading.Thread(target=self._wait_in_thread, name=f"aelastic-wait-{self.pid}", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._ended)

    def _wait_in_thread(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        self.family.sweep()  # before reaping: until then the id cannot be anybody else's
        try:
            _, status = os.waitpid(self.pid, 0)
            exitcode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            exitcode = UNKNOWN_EXITCODE
            logger.warning("process %d was reaped by somebody else; its exit code is not known", self.pid)
        self._popen.returncode = exitcode
        self._on_exit(exitcode)


def _launch_by_popen(command: Command, on_exit: Callable[[int], None]) -> Process:
    popen = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=command.stdout,
        stderr=command.stderr,
        env=command.env,
        start_new_session=True,
    )
    process = _PopenProcess(popen, on_exit)
    process.watch()
    return process
