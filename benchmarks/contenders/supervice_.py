"""supervice: a daemon after supervisord. Its ``Process`` and ``EventBus`` are used without the daemon around them.

Configured for ranks that end: no restart, no second that a program must live. It looks at each process ten times a
second, and stops nobody when another one fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
from typing import TYPE_CHECKING

from supervice.events import Event, EventBus, EventType
from supervice.models import ProgramConfig
from supervice.process import Process

from benchmarks.contenders.job import CannotError, exitcode

if TYPE_CHECKING:
    from benchmarks.contenders.job import Job

_ENDS = (EventType.PROCESS_STATE_EXITED, EventType.PROCESS_STATE_STOPPED, EventType.PROCESS_STATE_FATAL)


class SuperviceGang:
    """A ``Gang`` of ``supervice.process.Process``."""

    def __init__(self, job: Job) -> None:
        self._bus = EventBus(maxsize=10 * job.ranks + 100)
        self._ranks = [Process(_program(job, rank), self._bus) for rank in range(job.ranks)]
        self._changed = asyncio.Event()
        logging.getLogger("supervice").setLevel(logging.CRITICAL)
        for kind in (*_ENDS, EventType.PROCESS_SPAWNED):
            self._bus.subscribe(kind, self._note)

    async def start(self) -> None:
        """Start every rank."""
        self._bus.start()
        for rank in self._ranks:
            await rank.start()
        await self._until(lambda rank: rank.process is not None)

    def pids(self) -> list[int]:
        """By rank."""
        return [rank.process.pid for rank in self._ranks if rank.process is not None]

    async def wait(self) -> list[int]:
        """Exit codes by rank."""
        await self._until(lambda rank: rank.process is not None and rank.state in ("EXITED", "STOPPED", "FATAL"))
        return [exitcode(rank.process.returncode if rank.process else None) for rank in self._ranks]

    async def close(self) -> None:
        """Stop what still runs."""
        await asyncio.gather(*(rank.stop() for rank in self._ranks))
        await self._bus.stop()

    async def _note(self, event: Event) -> None:
        self._changed.set()

    async def _until(self, condition: object) -> None:
        assert callable(condition)
        while not all(condition(rank) for rank in self._ranks):
            self._changed.clear()
            await self._changed.wait()


def _program(job: Job, rank: int) -> ProgramConfig:
    paths = [os.path.join(job.directory, f"{rank}_{name}.log") for name in ("stdout", "stderr")]
    stdout, stderr = paths if job.capture == "files" else (None, None)
    return ProgramConfig(
        name=str(rank),
        command=shlex.join((job.program, *job.args[rank])),
        autorestart=False,
        startsecs=0,
        stopwaitsecs=max(1, int(job.grace)),
        stdout_logfile=stdout,
        stderr_logfile=stderr,
        stdout_logfile_maxbytes=1 << 40,
        stderr_logfile_maxbytes=1 << 40,
    )


def gang(job: Job) -> SuperviceGang:
    """See ``benchmarks.contenders``."""
    if job.capture in ("tee", "filter"):
        raise CannotError("shows no lines")
    os.makedirs(job.directory, exist_ok=True)
    return SuperviceGang(job)
