"""How long do four function ranks take, from the call to the values, by each start method?

``trivial`` returns its number. ``heavy`` needs numpy, which each rank imports, unless a fork server has it already.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, MULTIPROCESSING, TORCH, TORCH_10MS, work
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_NPROCS = 4


def measure(
    contender: Contender, directory: Path, *, method: str, heavy: bool = False, preload: bool = False
) -> Values:
    """``seconds`` are the first in an interpreter, as in a script; ``again`` the second where helpers stay."""
    module = contender.load()
    function = work.heavy if heavy else work.trivial
    modules = ["numpy", work.__name__] if preload else []

    async def once() -> float:
        begin = time.perf_counter()
        values = await module.function_ranks(function, _NPROCS, (), method, modules)
        seconds = time.perf_counter() - begin
        assert values == {rank: rank for rank in range(_NPROCS)}, values
        return seconds

    async def main() -> Values:
        seconds = await once()
        return {"seconds": seconds} if method == "spawn" else {"seconds": seconds, "again": await once()}

    return contender.run(main())


QUESTION = Question(
    name="functions",
    title="Four function ranks: from the call to the values",
    metrics={"seconds": ("s", "the first time"), "again": ("s", "the second time in the same interpreter")},
    contenders=(MULTIPROCESSING, AELASTIC, AELASTIC_UVLOOP, TORCH, TORCH_10MS),
    cases=(
        Case("spawn, trivial", {"method": "spawn"}, turns=3),
        Case("fork, trivial", {"method": "fork"}),
        Case("forkserver, trivial", {"method": "forkserver"}, turns=1),
        Case("spawn, heavy", {"method": "spawn", "heavy": True}, turns=1),
        Case("forkserver, heavy, preloaded", {"method": "forkserver", "heavy": True, "preload": True}, shown="again"),
    ),
    measure=measure,
    turns=2,
    quick=("spawn, trivial",),
)
