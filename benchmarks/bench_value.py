"""How long does one large return value take to come home, and what memory does that need?"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, MULTIPROCESSING, TORCH, TORCH_10MS, work
from benchmarks.harness.question import Case, Question
from benchmarks.harness.ticker import Ticker

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, size: int) -> Values:
    """``peak``: the most memory that this process had, over what it had before, as a multiple of the value."""
    module = contender.load()

    async def main() -> Values:
        await module.function_ranks(work.trivial, 1, (), "spawn", [])
        ticker = Ticker()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        async with ticker.phase("value"):
            await asyncio.sleep(0.01)
            values = await module.function_ranks(work.large, 1, (size,), "spawn", [])
        seconds = time.perf_counter() - begin
        await ticker.stop()
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert len(values[0]) == size
        return {"seconds": seconds, "peak": peak / size, "stall": max(ticker.delays["value"])}

    return contender.run(main())


QUESTION = Question(
    name="value",
    title="A function rank returns one large value",
    metrics={
        "seconds": ("s", "from the call to the value"),
        "peak": ("", "times the value's size, the most memory of the supervisor"),
        "stall": ("s", "the longest time that the loop stood still"),
    },
    contenders=(MULTIPROCESSING, AELASTIC, AELASTIC_UVLOOP, TORCH, TORCH_10MS),
    cases=(Case("1 GB", {"size": 1 << 30}, turns=1), Case("64 MB", {"size": 64 << 20})),
    measure=measure,
    turns=2,
    quick=("64 MB",),
)
