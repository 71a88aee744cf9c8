"""What does the supervisor itself take of a processor while 64 ranks write 100 lines per second each?"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, ASYNCIO, SIMPERVISOR, SUPERVICE, TORCH
from benchmarks.contenders.job import Job
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_WRITES = """
import os, sys, time
pause, line = 1 / float(sys.argv[1]), b"x" * 80 + b"\\n"
while True:
    os.write(1, line)
    time.sleep(pause)
"""
_SETTLING = 2.0
_SECONDS = 3.0


def measure(
    contender: Contender, directory: Path, *, ranks: int, per_second: int, capture: Literal["files", "tee"]
) -> Values:
    """CPU seconds of this process per second, while a task waits for the result."""
    module = contender.load()
    command = ("-S", "-E", "-c", _WRITES, str(per_second))
    job = Job(sys.executable, (command,) * ranks, str(directory / "logs"), capture=capture, in_threads=True)

    async def main() -> Values:
        gang = module.gang(job)
        await gang.start()
        waiting = asyncio.create_task(gang.wait())
        await asyncio.sleep(_SETTLING)
        cpu, begin, written = time.process_time(), time.perf_counter(), _written(directory)
        await asyncio.sleep(_SECONDS)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - begin
        rate = (_written(directory) - written) / seconds
        await gang.close()
        await waiting
        return {"share": cpu / seconds, "lines": rate / 81}

    return contender.run(main())


def _written(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.joinpath("logs").rglob("*stdout*"))


QUESTION = Question(
    name="slow_writers",
    title="64 ranks write 100 lines per second each: processor time of the supervisor",
    metrics={"share": ("CPU s/s", "of one core"), "lines": ("lines/s", "that arrived in the files")},
    contenders=(AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, SIMPERVISOR, SUPERVICE),
    cases=(
        Case("redirect", {"ranks": 64, "per_second": 100, "capture": "files"}),
        Case("tee", {"ranks": 64, "per_second": 100, "capture": "tee"}),
    ),
    measure=measure,
    turns=1,
    quick=("redirect",),
)
