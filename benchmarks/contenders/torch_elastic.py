"""torch's elastic multiprocessing, with its defaults: its ``wait`` looks once a second."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std, start_processes

from benchmarks.contenders.job import BlockingGang

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contenders.job import Job

PERIOD = 1.0

# A warning for each rank that it stops, for a program that logs nothing.
logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)


class TorchGang(BlockingGang):
    """A ``Gang`` of ``start_processes``; ``period`` is that of its ``wait``, in seconds."""

    def __init__(self, job: Job, period: float) -> None:
        super().__init__(job)
        self._period = period
        self._context: Any = None

    def start_now(self) -> None:
        """Start every rank."""
        job = self.job
        filters = [job.needle] if job.capture == "filter" else None
        self._context = start_processes(
            "b",
            job.program,
            dict(enumerate(job.args)),
            {rank: {} for rank in range(job.ranks)},
            _specs(job),
            duplicate_stdout_filters=filters,
        )

    def pids(self) -> list[int]:
        """By rank."""
        return list(self._context.pids().values())

    def wait_now(self) -> list[int]:
        """Exit codes by rank."""
        result = self._context.wait(-1, self._period)
        return [result.failures[rank].exitcode if rank in result.failures else 0 for rank in range(self.job.ranks)]

    def close_now(self) -> None:
        """Stop what still runs."""
        self._context.close(signal.SIGTERM, self.job.grace)


def _specs(job: Job) -> DefaultLogsSpecs:
    if job.capture == "none":
        return DefaultLogsSpecs()
    os.makedirs(job.directory, exist_ok=True)
    tee = Std.NONE if job.capture == "files" else Std.ALL
    return DefaultLogsSpecs(job.directory, redirects=Std.ALL, tee=tee)


def gang(job: Job, period: float = PERIOD) -> TorchGang:
    """See ``benchmarks.contenders``."""
    return TorchGang(job, period)


async def function_ranks(
    work: Callable[..., Any],
    nprocs: int,
    args: tuple[Any, ...],
    method: str,
    preload: Sequence[str],
    period: float = PERIOD,
) -> dict[int, object]:
    """The values of ``work(rank, *args)``."""
    multiprocessing.set_forkserver_preload([*preload, start_processes.__module__] if preload else [])
    ranks = range(nprocs)
    context = start_processes(
        "f", work, {r: (r, *args) for r in ranks}, {r: {} for r in ranks}, DefaultLogsSpecs(), start_method=method
    )
    result = context.wait(-1, period)
    assert result is not None
    values: dict[int, object] = result.return_values
    return values
