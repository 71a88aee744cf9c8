"""What do the imports cost, over a bare interpreter?

``import aelastic`` is lazy; so what a launch needs is measured as well. The bootstrap is what a function rank imports
before its function.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.contenders import Contender
from benchmarks.contenders.job import CannotError
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness.question import Values

_STATEMENTS = {
    "import aelastic": "import aelastic",
    "aelastic.start_processes": "import aelastic; aelastic.start_processes",
    "worker bootstrap": "from aelastic.worker.bootstrap import main; from aelastic.errors.handler import record",
    "aelastic.errors.record": "from aelastic.errors import record",
    "import asyncio": "import asyncio",
    "import multiprocessing.process": "import multiprocessing.process",
    "torch elastic": "import torch.distributed.elastic.multiprocessing",
}


def measure(contender: Contender, directory: Path, *, count: int) -> Values:
    """Interpreters with the statement and without take turns."""
    if contender.name == "torch elastic" and find_spec("torch") is None:
        raise CannotError("torch is not installed")
    statement = _STATEMENTS[contender.name]
    _seconds(statement)  # bytecode and page cache
    turns = [(_seconds("pass"), _seconds(statement)) for _ in range(count)]
    bare = statistics.median(one for one, _ in turns)
    return {"over_bare": [one - other for other, one in turns], "bare": bare}


def _seconds(statement: str) -> float:
    begin = time.perf_counter()
    pid = os.posix_spawn(sys.executable, (sys.executable, "-c", statement), os.environ)
    _, status = os.waitpid(pid, 0)
    seconds = time.perf_counter() - begin
    assert status == 0, statement
    return seconds


QUESTION = Question(
    name="import",
    title="Imports: seconds over a bare interpreter",
    metrics={"over_bare": ("s", "over a bare interpreter"), "bare": ("s", "of the bare interpreter")},
    contenders=tuple(Contender(name, "none") for name in _STATEMENTS),
    cases=(Case("import", {"count": 5}),),
    measure=measure,
    turns=2,
    quick=("import",),
)
