"""aelastic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import aelastic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contenders.job import Job


class AelasticGang:
    """A ``Gang`` of ``start_processes``."""

    def __init__(self, job: Job, containment: Literal["group", "marker"] | None) -> None:
        self._job = job
        self._containment = containment
        self.context: aelastic.SubprocessContext

    async def start(self) -> None:
        """Start every rank."""
        job = self._job
        filters = [job.needle] if job.capture == "filter" else None
        self.context = await aelastic.start_processes(
            "b",
            job.program,
            dict(enumerate(job.args)),
            {rank: {} for rank in range(job.ranks)},
            logs_specs=_specs(job),
            duplicate_stdout_filters=filters,
            shutdown_timeout=job.grace,
            containment=self._containment,
        )

    def pids(self) -> list[int]:
        """By rank."""
        return list(self.context.pids().values())

    async def wait(self) -> list[int]:
        """Exit codes by rank."""
        result = await self.context.wait()
        assert result is not None
        return [result.exitcodes[rank] for rank in range(self._job.ranks)]

    async def close(self) -> None:
        """Stop what still runs."""
        await self.context.close()


def _specs(job: Job) -> aelastic.DefaultLogsSpecs:
    if job.capture == "none":
        return aelastic.DefaultLogsSpecs()
    tee = aelastic.Std.NONE if job.capture == "files" else aelastic.Std.ALL
    return aelastic.DefaultLogsSpecs(job.directory, redirects=aelastic.Std.ALL, tee=tee)


def gang(job: Job, containment: Literal["group", "marker"] | None = None) -> AelasticGang:
    """See ``benchmarks.contenders``."""
    return AelasticGang(job, containment)


async def function_ranks(
    work: Callable[..., Any], nprocs: int, args: tuple[Any, ...], method: Any, preload: Sequence[str]
) -> dict[int, object]:
    """The values of ``work(rank, *args)``."""
    ranks = range(nprocs)
    async with aelastic.start_processes(
        "f", work, {r: (r, *args) for r in ranks}, {r: {} for r in ranks}, start_method=method, preload=preload
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    result.raise_for_failures()
    return result.return_values
