"""How long from the failure of one rank until all others are stopped, reaped and reported?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AELASTIC,
    AELASTIC_UVLOOP,
    ASYNCIO,
    POSIX_SPAWN,
    SIMPERVISOR,
    SUPERVICE,
    TORCH,
    TORCH_10MS,
)
from benchmarks.contenders.job import CannotError, Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.releaser import Releaser
from benchmarks.harness.watching import is_alive

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, ranks: int, count: int) -> Values:
    """Rank 0 is released and fails; the others sleep. Afterwards none of them may be there."""
    if contender in (SIMPERVISOR, SUPERVICE):
        raise CannotError("stops nobody when another process fails")
    module = contender.load()
    count = min(count, 3) if contender.period == 1 else count

    async def once(releaser: Releaser, share: float) -> float:
        fifo = releaser.fifo()
        fails = ("-c", f"read x < {fifo}; exit 3")
        gang = module.gang(Job("/bin/sh", (fails, *[("-c", "exec sleep 600")] * (ranks - 1)), str(directory / "logs")))
        releaser.release(fifo, 0.05 + contender.period * share)
        await gang.start()
        pids = gang.pids()
        codes = await gang.wait()
        returned = time.monotonic()
        assert codes == [3] + [-15] * (ranks - 1), codes
        assert not any(is_alive(pid) for pid in pids)
        await gang.close()
        return returned - releaser.released_at()

    async def main() -> Values:
        with Releaser(directory) as releaser:
            await once(releaser, 0)
            return {"seconds": [await once(releaser, (index + 0.5) / count) for index in range(count)]}

    return contender.run(main())


QUESTION = Question(
    name="failure",
    title="One rank fails: until all others are gone and wait() returns",
    metrics={"seconds": ("s", "from the moment that lets the rank fail")},
    contenders=(POSIX_SPAWN, AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, TORCH_10MS, SIMPERVISOR, SUPERVICE),
    cases=(Case("8 ranks", {"ranks": 8, "count": 8}), Case("64 ranks", {"ranks": 64, "count": 3}, turns=1)),
    measure=measure,
    turns=2,
    quick=("8 ranks",),
)
