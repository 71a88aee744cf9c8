"""How long does the launcher take for a script that does nothing, on two ranks, from the shell's view?"""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC_RUN, HONCHO, TORCHRUN
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, nproc: int, count: int) -> Values:
    """Seconds from the start of the launcher to its end, all started as ``python -m``."""
    script = directory / "trivial.py"
    script.write_text("pass\n")
    command = contender.load().command(contender.name, nproc, script)

    def once() -> float:
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=directory)
        return time.perf_counter() - begin

    once()  # bytecode and page cache
    return {"seconds": [once() for _ in range(count)]}


QUESTION = Question(
    name="launcher",
    title="The launcher, two ranks of a script that does nothing: wall time",
    metrics={"seconds": ("s", "from the start of the launcher to its end")},
    contenders=(AELASTIC_RUN, TORCHRUN, HONCHO),
    cases=(Case("2 ranks", {"nproc": 2, "count": 2}),),
    measure=measure,
    turns=3,
    quick=("2 ranks",),
)
