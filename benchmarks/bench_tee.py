"""How many lines per second are shown, with the rank in front, or filtered into one file, at full speed?

Standard output is a file, so that every line can be looked at afterwards. In one case it is a terminal, which Python's
text streams write to line by line, with ``cat`` at its other end; in one it is without buffer, as with
``PYTHONUNBUFFERED=1``, which many containers set. Torch shows what was written when its ``wait`` looks next,
up to a second after the end.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
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
from benchmarks.contenders.job import PREFIX, Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.text import EVERY, LINE, NEEDLE, lines_file

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(
    contender: Contender,
    directory: Path,
    *,
    ranks: int,
    lines: int,
    capture: Literal["tee", "filter"],
    stdout: Literal["usual", "terminal", "unbuffered"] = "usual",
) -> Values:
    """Lines per second that the ranks write, until all are shown; ``torn``: how many are not shown whole."""
    module = contender.load()
    source = lines_file(directory, lines)
    logs = directory / "logs"
    shown = lines if capture == "tee" else lines // EVERY
    output = _terminal(directory) if stdout == "terminal" else directory / "stdout"
    if stdout == "unbuffered":
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)

    async def main() -> Values:
        gang = module.gang(Job("cat", ((source,),) * ranks, str(logs), capture=capture, needle=NEEDLE))
        begin = time.perf_counter()
        await gang.start()
        codes = await gang.wait()
        sys.stdout.flush()
        seconds = time.perf_counter() - begin
        await gang.close()
        assert codes == [0] * ranks, codes
        if stdout == "terminal":
            _hang_up()
        whole = _whole(output if capture == "tee" else next(logs.rglob("filtered_stdout.log")))
        return {"rate": ranks * lines / seconds, "torn": ranks * shown - whole}

    return contender.run(main())


def _whole(path: Path) -> int:
    """Lines with a prefix and all that was written. A terminal ends lines with two characters."""
    with open(path, "rb") as file:
        return sum(
            len(line.replace(b"\r", b"")) == LINE + len(PREFIX.format(0)) and line.startswith(b"[b") for line in file
        )


def _terminal(directory: Path) -> Path:
    """Make standard output a terminal; the file that ends up with what was written to it."""
    path = directory / "shown"
    master, slave = pty.openpty()
    with open(path, "wb") as file:
        subprocess.Popen(["cat"], stdin=master, stdout=file, stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(master)
    os.dup2(slave, 1)
    os.close(slave)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - what Python makes of a terminal
    return path


def _hang_up() -> None:
    """The terminal's other end has everything when its ``cat`` has ended."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.wait()


_EVERYBODY = (AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, TORCH_10MS, POSIX_SPAWN, SIMPERVISOR, SUPERVICE)
_LINES = 1_000_000

QUESTION = Question(
    name="tee",
    title="Tee: lines per second of four ranks that write as fast as they can",
    metrics={"rate": ("lines/s", "written by the ranks"), "torn": ("", "lines that were not shown whole")},
    contenders=_EVERYBODY,
    cases=(
        Case("with prefix", {"ranks": 4, "lines": _LINES, "capture": "tee"}),
        Case("with prefix, on a terminal", {"ranks": 4, "lines": _LINES // 8, "capture": "tee", "stdout": "terminal"}),
        Case("with prefix, unbuffered", {"ranks": 4, "lines": _LINES // 4, "capture": "tee", "stdout": "unbuffered"}),
        Case("filtered, 1 line of 10", {"ranks": 4, "lines": _LINES, "capture": "filter"}),
    ),
    measure=measure,
    turns=2,
    quick=("with prefix",),
)
