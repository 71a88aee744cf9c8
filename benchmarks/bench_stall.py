"""How long are an application's other tasks kept from running, when it launches, reads from and stops 64 ranks?

The application has 2 GB of memory, which a fork would have to copy the page tables of.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, ASYNCIO, ASYNCIO_UVLOOP, TORCH_THREAD, TORCH_UVLOOP
from benchmarks.contenders.job import Job
from benchmarks.harness.gate import Gate
from benchmarks.harness.numbers import percentile
from benchmarks.harness.question import Case, Question
from benchmarks.harness.text import lines_file
from benchmarks.harness.ticker import Ticker
from benchmarks.harness.watching import until_they_run

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_QUIET = 0.5
_PHASES = ("launch", "flood", "teardown")


def measure(contender: Contender, directory: Path, *, ranks: int, memory: int, lines: int) -> Values:
    """The longest delay of a task that wants to run every millisecond, in each phase."""
    module = contender.load()
    ballast = bytearray(b"x") * memory  # every page is written to
    source = lines_file(directory, lines)

    async def main() -> Values:
        gate = Gate(directory)
        script = gate.then(f"cat {source}; exec sleep 600")
        gang = module.gang(Job("/bin/sh", (script,) * ranks, str(directory / "logs"), capture="files", in_threads=True))
        ticker = Ticker()
        async with ticker.phase("quiet"):
            await asyncio.sleep(_QUIET)
        async with ticker.phase("first"):
            await _warm_up(module, directory)
        begin = time.perf_counter()
        async with ticker.phase("launch"):
            await gang.start()
        launched = time.perf_counter() - begin
        async with ticker.phase("flood"):
            gate.open()
            await until_they_run(gang.pids(), "sleep")
        async with ticker.phase("teardown"):
            await gang.close()
        await ticker.stop()
        return {**_told(ticker), "launch_seconds": launched}

    values = contender.run(main())
    assert len(ballast) == memory
    return values


async def _warm_up(module: Any, directory: Path) -> None:
    """One rank, from a process that has launched nothing yet."""
    gang = module.gang(Job("/bin/true", ((),), str(directory / "first"), capture="files", in_threads=True))
    await gang.start()
    await gang.wait()
    await gang.close()


def _told(ticker: Ticker) -> Values:
    values: Values = {f"{phase}_longest": max(delays) for phase, delays in ticker.delays.items()}
    values["longest"] = max(max(ticker.delays[phase]) for phase in _PHASES)
    values["p99"] = percentile([one for phase, all_ in ticker.delays.items() if phase in _PHASES for one in all_], 0.99)
    return values


_METRICS = {
    "launch_longest": ("s", "while the ranks are launched"),
    "longest": ("s", "launched, at full speed, or stopped"),
    "first_longest": ("s", "in the first run of the interpreter, of one rank"),
    "flood_longest": ("s", "while all ranks write as fast as they can"),
    "teardown_longest": ("s", "while the ranks are stopped"),
    "quiet_longest": ("s", "before, with no ranks"),
    "p99": ("s", "99th percentile"),
    "launch_seconds": ("s", "that the launch took in all"),
}

QUESTION = Question(
    name="stall",
    title="The longest stall of the loop: 64 ranks from a process of 2 GB",
    metrics=_METRICS,
    contenders=(AELASTIC, ASYNCIO, TORCH_THREAD, AELASTIC_UVLOOP, ASYNCIO_UVLOOP, TORCH_UVLOOP),
    cases=(Case("64 ranks, 2 GB", {"ranks": 64, "memory": 2 << 30, "lines": 20_000}),),
    measure=measure,
    turns=3,
    quick=("64 ranks, 2 GB",),
)
