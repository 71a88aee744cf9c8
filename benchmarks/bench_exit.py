"""How long from the end of a rank until ``wait()`` returns?

The rank is a ``cat`` that reads from a FIFO; another process closes the other end and notes when. What ``cat`` itself
takes to end is in everybody's time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AELASTIC,
    AELASTIC_GROUP,
    AELASTIC_MARKER,
    AELASTIC_UVLOOP,
    ASYNCIO,
    POSIX_SPAWN,
    SIMPERVISOR,
    SUPERVICE,
    TORCH,
    TORCH_10MS,
)
from benchmarks.contenders.job import Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.releaser import Releaser

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, count: int) -> Values:
    """The ends are spread evenly over the time between two looks of a contender that polls."""
    module = contender.load()
    count = min(count, 5) if contender.period == 1 else count

    async def once(releaser: Releaser, share: float) -> float:
        fifo = releaser.fifo()
        gang = module.gang(Job("/bin/cat", ((fifo,),), str(directory / "logs")))
        releaser.release(fifo, 0.05 + contender.period * share)
        await gang.start()
        codes = await gang.wait()
        returned = time.monotonic()
        assert codes == [0], codes
        await gang.close()
        return returned - releaser.released_at()

    async def main() -> Values:
        with Releaser(directory) as releaser:
            await once(releaser, 0)
            return {"seconds": [await once(releaser, (index + 0.5) / count) for index in range(count)]}

    return contender.run(main())


QUESTION = Question(
    name="exit",
    title="A rank ends: until wait() returns",
    metrics={"seconds": ("s", "from the moment that lets the rank end")},
    contenders=(
        POSIX_SPAWN,
        AELASTIC,
        AELASTIC_UVLOOP,
        AELASTIC_MARKER,
        AELASTIC_GROUP,
        ASYNCIO,
        TORCH,
        TORCH_10MS,
        SIMPERVISOR,
        SUPERVICE,
    ),
    cases=(Case("1 rank", {"count": 20}),),
    measure=measure,
    turns=3,
    quick=("1 rank",),
)
