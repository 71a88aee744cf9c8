"""simpervisor: keeps single processes alive. What fails it starts again, for ever; it has no gang, no log files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from simpervisor import SupervisedProcess

from benchmarks.contenders.job import CannotError, exitcode

if TYPE_CHECKING:
    from benchmarks.contenders.job import Job


class SimpervisorGang:
    """A ``Gang`` of ``SupervisedProcess``."""

    def __init__(self, job: Job) -> None:
        self._ranks: list[Any] = [
            SupervisedProcess(str(rank), job.program, *args) for rank, args in enumerate(job.args)
        ]

    async def start(self) -> None:
        """Start every rank."""
        for rank in self._ranks:
            await rank.start()

    def pids(self) -> list[int]:
        """By rank."""
        return [rank.pid for rank in self._ranks]

    async def wait(self) -> list[int]:
        """Exit codes by rank."""
        await asyncio.gather(*(rank.proc.wait() for rank in self._ranks))
        return [exitcode(rank.returncode) for rank in self._ranks]

    async def close(self) -> None:
        """Stop what still runs."""
        await asyncio.gather(*(rank.terminate() for rank in self._ranks if rank.running))


def gang(job: Job) -> SimpervisorGang:
    """See ``benchmarks.contenders``."""
    if job.capture != "none":
        raise CannotError("captures no output")
    return SimpervisorGang(job)
