"""What does a rank cost its supervisor: descriptors, threads, memory? And does a thousand of them start and stop?"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AELASTIC,
    AELASTIC_UVLOOP,
    ASYNCIO,
    ASYNCIO_UVLOOP,
    POSIX_SPAWN,
    SIMPERVISOR,
    SUPERVICE,
    TORCH,
)
from benchmarks.contenders.job import Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.watching import Holdings, is_alive

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_WARM = 4  # ranks of a run before, whose imports and pools are nobody's


def measure(contender: Contender, directory: Path, *, ranks: int, capture: Literal["none", "files", "tee"]) -> Values:
    """What this process has more of while the ranks sleep, for each rank."""
    module = contender.load()

    async def run(count: int, logs: Path) -> tuple[Holdings, float, float]:
        gang = module.gang(Job("sleep", (("600",),) * count, str(logs), capture=capture))
        begin = time.perf_counter()
        await gang.start()
        started = time.perf_counter() - begin
        pids = gang.pids()
        assert len(pids) == count
        assert all(map(is_alive, pids))
        held = Holdings.now()
        begin = time.perf_counter()
        await gang.close()
        stopped = time.perf_counter() - begin
        assert not any(map(is_alive, pids))
        return held, started, stopped

    async def main() -> Values:
        await run(_WARM, directory / "warm")
        gc.collect()
        before = Holdings.now()
        after, started, stopped = await run(ranks, directory / "logs")
        return {
            "memory": (after.memory - before.memory) / ranks,
            "descriptors": (after.descriptors - before.descriptors) / ranks,
            "threads": (after.threads - before.threads) / ranks,
            "start": started,
            "stop": stopped,
        }

    return contender.run(main())


QUESTION = Question(
    name="footprint",
    title="What a rank costs its supervisor",
    metrics={
        "memory": ("B", "resident memory for each rank"),
        "descriptors": ("", "descriptors for each rank"),
        "threads": ("", "threads for each rank"),
        "start": ("s", "to start all"),
        "stop": ("s", "to stop all"),
    },
    contenders=(
        POSIX_SPAWN,
        AELASTIC,
        AELASTIC_UVLOOP,
        ASYNCIO,
        ASYNCIO_UVLOOP,
        TORCH,
        SIMPERVISOR,
        SUPERVICE,
    ),
    cases=(
        Case("256 ranks, no capture", {"ranks": 256, "capture": "none"}),
        Case("256 ranks, redirect", {"ranks": 256, "capture": "files"}),
        Case("256 ranks, tee", {"ranks": 256, "capture": "tee"}),
        Case("1000 ranks, redirect", {"ranks": 1000, "capture": "files"}),
    ),
    measure=measure,
    turns=1,
    limit=20.0,
    quick=("256 ranks, redirect",),
)
