"""How many lines per second reach somebody who iterates over the captured lines?

``ctx.logs()`` never holds a rank up: a consumer that cannot follow loses the oldest lines, and is told how many.
Reading a pipe line by line, as one does with bare asyncio, holds the rank up instead. The ranks write when somebody
listens.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, ASYNCIO, SIMPERVISOR, SUPERVICE, TORCH
from benchmarks.contenders.job import CannotError, Job
from benchmarks.harness.gate import Gate
from benchmarks.harness.question import Case, Question
from benchmarks.harness.text import lines_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, ranks: int, lines: int) -> Values:
    """Lines per second that the consumer has seen, and the share that it has not."""
    if contender in (TORCH, SIMPERVISOR, SUPERVICE):
        raise CannotError("has no stream of lines")
    source = lines_file(directory, lines)
    iterate = _with_asyncio if contender == ASYNCIO else _with_aelastic

    async def main() -> Values:
        gate = Gate(directory)
        begin = time.perf_counter()
        seen = await iterate(gate, gate.then(f"cat {source}"), ranks, str(directory / "logs"))
        seconds = time.perf_counter() - begin
        return {"rate": seen / seconds, "lost": 1 - seen / (ranks * lines)}

    return contender.run(main())


async def _with_aelastic(gate: Gate, command: tuple[str, str], ranks: int, logs: str) -> int:
    from benchmarks.contenders.aelastic_ import gang

    started = gang(Job("/bin/sh", (command,) * ranks, logs, capture="files"))
    await started.start()
    lines, seen = started.context.logs(), 0
    gate.open()
    async for line in lines:
        seen += line.text.startswith("step")
    await started.close()
    return seen


async def _with_asyncio(gate: Gate, command: tuple[str, str], ranks: int, logs: str) -> int:
    async def read() -> int:
        process = await asyncio.create_subprocess_exec("/bin/sh", *command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        seen = 0
        async for line in process.stdout:
            seen += line.decode().startswith("step")
        await process.wait()
        return seen

    gate.open()
    return sum(await asyncio.gather(*(read() for _ in range(ranks))))


QUESTION = Question(
    name="subscriber",
    title="A consumer of the captured lines: lines per second that it sees at full speed",
    metrics={"rate": ("lines/s", "seen by the consumer"), "lost": ("", "share of the lines that it missed")},
    contenders=(AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, SIMPERVISOR, SUPERVICE),
    cases=(Case("1 rank", {"ranks": 1, "lines": 200_000}), Case("4 ranks", {"ranks": 4, "lines": 100_000})),
    measure=measure,
    turns=2,
    quick=("1 rank",),
)
