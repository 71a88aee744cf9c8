"""How long does it take to stop ranks that end when told to, and ranks that do not?"""

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
)
from benchmarks.contenders.job import CannotError, Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.watching import is_alive, until_they_run

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_GRACE = 1.0  # the least that supervice can be told
_SLEEPS = "exec sleep 600"
_DEAF = "trap '' TERM; exec sleep 600"


def measure(contender: Contender, directory: Path, *, ranks: int, deaf: bool, count: int) -> Values:
    """Seconds of ``close``; with deaf ranks, those beyond the grace."""
    if deaf and contender == SIMPERVISOR:
        raise CannotError("waits for ever for a process that ignores SIGTERM")
    module = contender.load()
    script = ("-c", _DEAF if deaf else _SLEEPS)
    grace = _GRACE if deaf else 30.0

    async def once() -> float:
        gang = module.gang(Job("/bin/sh", (script,) * ranks, str(directory / "logs"), grace=grace))
        await gang.start()
        pids = gang.pids()
        await until_they_run(pids, "sleep")
        begin = time.perf_counter()
        await gang.close()
        seconds = time.perf_counter() - begin
        assert not any(is_alive(pid) for pid in pids)
        return seconds - grace if deaf else seconds

    async def main() -> Values:
        await once()
        return {"seconds": [await once() for _ in range(count)]}

    return contender.run(main())


QUESTION = Question(
    name="close",
    title="close(): until every rank is gone",
    metrics={"seconds": ("s", "of deaf ranks: beyond the grace that they were given")},
    contenders=(POSIX_SPAWN, AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, SIMPERVISOR, SUPERVICE),
    cases=(
        Case("8 polite ranks", {"ranks": 8, "deaf": False, "count": 5}),
        Case("64 polite ranks", {"ranks": 64, "deaf": False, "count": 3}),
        Case("8 deaf ranks", {"ranks": 8, "deaf": True, "count": 1}, turns=1),
    ),
    measure=measure,
    turns=2,
    quick=("8 polite ranks",),
)
