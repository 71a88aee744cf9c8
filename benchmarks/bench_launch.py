"""How long from the call to the result, for n ranks of a program that does nothing?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AELASTIC,
    AELASTIC_GROUP,
    AELASTIC_MARKER,
    AELASTIC_UVLOOP,
    ASYNCIO,
    ASYNCIO_UVLOOP,
    POSIX_SPAWN,
    SIMPERVISOR,
    SUPERVICE,
    TORCH,
    TORCH_10MS,
)
from benchmarks.contenders.job import Job
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_COUNTS = {1: 5, 8: 5, 64: 5, 256: 2, 1000: 1}
_POLLS = 1  # of a contender that waits a second in each run


def measure(contender: Contender, directory: Path, *, ranks: int, again: int) -> Values:
    """``first`` begins with nothing imported but the contender; ``seconds`` are those of the runs after it."""
    module = contender.load()
    job = Job("/bin/true", ((),) * ranks, str(directory / "logs"))
    again = _POLLS if contender.period == 1 else again

    async def once() -> float:
        begin = time.perf_counter()
        gang = module.gang(job)
        await gang.start()
        codes = await gang.wait()
        seconds = time.perf_counter() - begin
        await gang.close()
        assert codes == [0] * ranks, codes
        return seconds

    async def main() -> Values:
        first = await once()
        return {"seconds": [await once() for _ in range(again)], "first": first}

    return contender.run(main())


QUESTION = Question(
    name="launch",
    title="n ranks of /bin/true: from the call to the result",
    metrics={"seconds": ("s", "once everything is warm"), "first": ("s", "the first time in an interpreter")},
    contenders=(
        POSIX_SPAWN,
        AELASTIC,
        AELASTIC_UVLOOP,
        AELASTIC_MARKER,
        AELASTIC_GROUP,
        ASYNCIO,
        ASYNCIO_UVLOOP,
        TORCH,
        TORCH_10MS,
        SIMPERVISOR,
        SUPERVICE,
    ),
    cases=tuple(
        Case(f"{ranks} rank{'s' * (ranks > 1)}", {"ranks": ranks, "again": again}, turns=1 if ranks >= 256 else None)
        for ranks, again in _COUNTS.items()
    ),
    measure=measure,
    turns=3,
    limit=20.0,
    quick=("8 ranks", "64 ranks"),
)
