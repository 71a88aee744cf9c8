"""torch 2.13's elastic multiprocessing, with its defaults."""

from __future__ import annotations

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, start_processes

from benchmarks.contenders.trivial import work


def function_ranks(nprocs: int) -> dict[int, object]:
    """Run a trivial function on fresh interpreters; its values."""
    ranks = range(nprocs)
    context = start_processes(
        "f", work, {r: (r,) for r in ranks}, {r: {} for r in ranks}, DefaultLogsSpecs(), start_method="spawn"
    )
    result = context.wait()
    assert result is not None
    values: dict[int, object] = result.return_values
    return values
