"""Starting one process and being told of its end, by the means that suits the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from aelastic.decide.descriptors import Need
from aelastic.process.blocking import wait_for_ends
from aelastic.process.family import Family
from aelastic.process.watch import UNKNOWN_EXITCODE, Watch, WatchedProcess, open_pidfd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aelastic.process.watch import OnExit, Process

logger = logging.getLogger("aelastic")

_TURNS_TO_CONNECT = 4  # of the loop, until a transport has introduced itself
_LONGEST_REAPING = 1.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. The streams are descriptors for the process, or None to share ours.

    ``inherit``: other descriptors that it gets, under the same numbers.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    stdout: int | None = subprocess.DEVNULL
    stderr: int | None = subprocess.DEVNULL
    stdin: int | None = subprocess.DEVNULL
    inherit: tuple[int, ...] = ()


async def launch(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    """Start ``command``.

    ``on_exit`` is called once, in this loop, as soon as the kernel says that the process ended, with its exit code
    (negative: a signal) and the time of the kernel's word by ``clock``; what was left of its group has been killed by
    then.

    A stock asyncio loop starts the process through its own subprocess API. Other loops (uvloop) fork the whole
    application for that, which takes 100 ms from 2 GB of memory; there ``Popen`` (vfork, 0.3 ms) and a pidfd do it.

    Raises ``OSError`` when the kernel refuses. Must not be cancelled half-way.
    """
    if _by_loop():
        return await _launch_by_loop(command, on_exit, clock)
    return launch_by_popen(command, on_exit, clock)


def launch_need() -> Need:
    """The descriptors that ``launch`` opens: subprocess's ``/dev/null`` and pipe for errors; then our pidfd.

    From Python 3.12 on asyncio's own loop has another one.
    """
    return Need(launching=3, running=2 if _by_loop() and sys.version_info >= (3, 12) else 1)


def _by_loop() -> bool:
    return isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)


class _LoopProcess(asyncio.SubprocessProtocol):
    """A process that the loop watches and reaps."""

    def __init__(self, on_exit: OnExit, clock: Callable[[], float]) -> None:
        self._on_exit = on_exit
        self._clock = clock
        self._transport: asyncio.SubprocessTransport | None = None
        self._watch: Watch | None = None
        self._ended_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is not None:
            return
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()
        self.family = Family(self.pid, open_pidfd(self.pid), reaped_elsewhere=True)
        if sys.version_info < (3, 12) and self.family.pidfd is not None:
            # This loop is told of ends by one thread per process, and a busy interpreter lets those run in any order.
            with contextlib.suppress(OSError):
                self._watch = Watch(self.family.pidfd, self._ended)

    def process_exited(self) -> None:
        at = self._ended()
        transport = cast("asyncio.SubprocessTransport", self._transport)
        exitcode = transport.get_returncode()
        transport.close()
        self._on_exit(UNKNOWN_EXITCODE if exitcode is None else exitcode, at)

    async def exists(self) -> bool:
        """Whether there is a process, although the launch failed."""
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)
        return self._transport is not None

    def undo(self) -> None:
        """There is nothing left to watch the process with: it goes."""
        if self._watch is not None:
            self._watch.close()
        self.family.sweep()
        self.family.close()
        wait_for_ends({0: self.pid}, _LONGEST_REAPING)
        cast("asyncio.SubprocessTransport", self._transport).close()

    def _ended(self) -> float:
        """When it ended, by whoever told it first."""
        if self._ended_at is None:
            self._ended_at = self._clock()
            if self._watch is not None:
                self._watch.close()
            self.family.sweep()
            self.family.close()
        return self._ended_at


async def _launch_by_loop(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    process = _LoopProcess(on_exit, clock)
    try:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: process,
            *command.argv,
            stdin=command.stdin,
            stdout=command.stdout,
            stderr=command.stderr,
            env=command.env,
            start_new_session=True,
            pass_fds=command.inherit,
        )
    except Exception as error:
        if not await process.exists():
            raise
        if not isinstance(error, ProcessLookupError):
            process.undo()
            raise
        process.process_exited()  # somebody else has reaped it before the loop could watch it
    else:
        process.connection_made(transport)  # with eager tasks the loop does that later
    return process


def launch_by_popen(command: Command, on_exit: OnExit, clock: Callable[[], float]) -> Process:
    """As ``launch``, by ``Popen`` and a pidfd, whatever the loop."""
    popen = subprocess.Popen(
        command.argv,
        stdin=command.stdin,
        stdout=command.stdout,
        stderr=command.stderr,
        env=command.env,
        start_new_session=True,
        pass_fds=command.inherit,
    )
    return WatchedProcess(popen.pid, partial(_reap, popen), on_exit, clock)


def _reap(popen: subprocess.Popen[bytes]) -> int:
    try:
        _, status = os.waitpid(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        popen.returncode = UNKNOWN_EXITCODE
        logger.warning("process %d was reaped by somebody else; its exit code is not known", popen.pid)
    return popen.returncode
