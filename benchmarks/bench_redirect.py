"""How many bytes per second go from the ranks into their log files?

Torch and ``posix_spawn`` give a rank the file itself: nobody reads along, and nothing stands between. With a pipe one
can tee, filter, subscribe, and knows the last lines of a failure; what that costs is compared with ``cat > file`` at
the other end of the same kind of pipe.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    AELASTIC,
    AELASTIC_UVLOOP,
    ASYNCIO,
    CAT,
    POSIX_SPAWN,
    SIMPERVISOR,
    SUPERVICE,
    TORCH_10MS,
)
from benchmarks.contenders.job import Job
from benchmarks.harness.question import Case, Question
from benchmarks.harness.text import LINE, lines_file

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values


def measure(contender: Contender, directory: Path, *, ranks: int, lines: int, times: int) -> Values:
    """Bytes per second from the start to the result; every byte must be in the files."""
    module = contender.load()
    source = lines_file(directory, lines)
    expected = lines * LINE * times

    async def once(logs: Path, args: tuple[str, ...]) -> float:
        gang = module.gang(Job("cat", (args,) * ranks, str(logs), capture="files"))
        begin = time.perf_counter()
        await gang.start()
        codes = await gang.wait()
        seconds = time.perf_counter() - begin
        await gang.close()
        assert codes == [0] * ranks, codes
        return seconds

    async def main() -> Values:
        await once(directory / "warm", ("/dev/null",))
        seconds = await once(directory / "logs", (source,) * times)
        found = [path.stat().st_size for path in Path(directory, "logs").rglob("*stdout*")]
        assert found == [expected] * ranks, found
        return {"rate": ranks * expected / seconds}

    return contender.run(main())


QUESTION = Question(
    name="redirect",
    title="Redirect only: bytes per second from the ranks into their log files",
    metrics={"rate": ("B/s", "all ranks together, start and end included")},
    contenders=(CAT, AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH_10MS, POSIX_SPAWN, SIMPERVISOR, SUPERVICE),
    cases=(
        Case("1 rank", {"ranks": 1, "lines": 400_000, "times": 12}),
        Case("8 ranks", {"ranks": 8, "lines": 400_000, "times": 2}),
    ),
    measure=measure,
    turns=4,
    quick=("1 rank",),
)
