"""What do the users of a web service notice while it launches, reads from and stops 64 ranks?

uvicorn on uvloop, in a process of 1 GB, answers 400 small requests per second from another process; first alone, then
while one of the contenders runs in the same loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import AELASTIC_UVLOOP, ASYNCIO_UVLOOP, TORCH_UVLOOP
from benchmarks.contenders.job import Job
from benchmarks.harness.gate import Gate
from benchmarks.harness.numbers import percentile
from benchmarks.harness.question import Case, Question
from benchmarks.harness.text import lines_file
from benchmarks.harness.watching import until_they_run

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_RATE = 400
_CONNECTIONS = 16
_WARM_UP = 0.5
_ALONE = 2.5
_WINDOW = 3.0  # seconds from the launch to the stop; once they have written, the ranks are silent
_SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def measure(contender: Contender, directory: Path, *, ranks: int, memory: int, lines: int) -> Values:
    """Percentiles of the time from when a request should have been sent to its answer."""
    ballast = bytearray(b"x") * memory
    values = contender.run(_serve(contender, directory, ranks, lines))
    assert len(ballast) == memory
    return values


async def _serve(contender: Contender, directory: Path, ranks: int, lines: int) -> Values:
    from benchmarks.web.service import serving

    module = contender.load()
    seen = directory / "seen"
    async with serving() as port:
        await _warm_up(module, directory)
        arguments = map(str, (port, _RATE, _CONNECTIONS, seen))
        client = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
            [sys.executable, "-m", "benchmarks.web.client", *arguments], stdin=subprocess.PIPE, start_new_session=True
        )
        await asyncio.sleep(1 + _WARM_UP)
        begin = time.monotonic()
        await asyncio.sleep(_ALONE)
        launch = time.monotonic()
        launched = await _run(module, directory, ranks, lines, until=launch + _WINDOW)
        end = time.monotonic()
        await asyncio.to_thread(client.communicate)
    return _told(json.loads(seen.read_text()), begin, launch, end) | {"launch_seconds": launched - launch}


async def _run(module: Any, directory: Path, ranks: int, lines: int, until: float) -> float:
    gate = Gate(directory)
    script = gate.then(f"cat {lines_file(directory, lines)}; exec sleep 600")
    gang = module.gang(Job("/bin/sh", (script,) * ranks, str(directory / "logs"), capture="files", in_threads=True))
    await gang.start()
    launched = time.monotonic()
    gate.open()
    await until_they_run(gang.pids(), "sleep")
    await asyncio.sleep(until - time.monotonic())
    await gang.close()
    return launched


async def _warm_up(module: Any, directory: Path) -> None:
    """What is imported and opened once in a process is there before anything is measured."""
    gang = module.gang(Job("/bin/true", ((),), str(directory / "first"), capture="files", in_threads=True))
    await gang.start()
    await gang.wait()
    await gang.close()


def _told(found: dict[str, Any], begin: float, launch: float, end: float) -> Values:
    assert found["failed"] == [], found["failed"]
    alone = [seconds for due, seconds in found["seen"] if begin <= due < launch]
    during = [seconds for due, seconds in found["seen"] if launch <= due < end]
    assert len(alone) > 0.9 * _ALONE * _RATE, len(alone)
    values: Values = {name: percentile(during, share) for name, share in _SHARES.items()}
    values |= {f"alone_{name}": percentile(alone, share) for name, share in _SHARES.items()}
    return values | {"longest": max(during), "requests": len(during), "seconds": end - launch}


QUESTION = Question(
    name="web",
    title="Requests to a web service while it launches, reads from and stops 64 ranks",
    metrics={
        "p99": ("s", "99th percentile while the ranks come and go"),
        "p50": ("s", "median"),
        "p99.9": ("s", "99.9th percentile"),
        "longest": ("s", "the longest"),
        "alone_p50": ("s", "median, without ranks"),
        "alone_p99": ("s", "99th percentile, without ranks"),
        "alone_p99.9": ("s", "99.9th percentile, without ranks"),
        "requests": ("", "requests while the ranks come and go"),
        "seconds": ("s", "from the launch to the end of the last rank"),
        "launch_seconds": ("s", "that the launch took in all"),
    },
    contenders=(AELASTIC_UVLOOP, ASYNCIO_UVLOOP, TORCH_UVLOOP),
    cases=(Case("64 ranks, 1 GB", {"ranks": 64, "memory": 1 << 30, "lines": 20_000}),),
    measure=measure,
    turns=2,
    quick=("64 ranks, 1 GB",),
)
