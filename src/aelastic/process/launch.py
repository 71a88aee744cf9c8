"""Starting one process and being told of its end, by the means that suits the loop."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from aelastic.process.family import Family
from aelastic.process.watch import UNKNOWN_EXITCODE, WatchedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aelastic.process.watch import Process

logger = logging.getLogger("aelastic")


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``stdout`` and ``stderr`` are descriptors for the process, or None to share ours.

    ``inherit``: other descriptors that it gets, under the same numbers.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdout: int | None
    stderr: int | None
    inherit: tuple[int, ...] = ()


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
        pass_fds=command.inherit,
    )
    return process


def _launch_by_popen(command: Command, on_exit: Callable[[int], None]) -> Process:
    popen = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=command.stdout,
        stderr=command.stderr,
        env=command.env,
        start_new_session=True,
        pass_fds=command.inherit,
    )
    return WatchedProcess(popen.pid, partial(_reap, popen), on_exit)


def _reap(popen: subprocess.Popen[bytes]) -> int:
    try:
        _, status = os.waitpid(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        popen.returncode = UNKNOWN_EXITCODE
        logger.warning("process %d was reaped by somebody else; its exit code is not known", popen.pid)
    return popen.returncode
