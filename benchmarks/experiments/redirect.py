"""Who should read a stream that only goes to a file?

    python -m benchmarks.experiments.redirect [--ranks 1] [--mebibytes 512] [--turns 5] [--directory <of a tmpfs>]

Verdict: the thread that writes it. ``dd`` (64 KiB a time) into ours and into ``cat > file``, in turns, two cores that
others use as well, tmpfs, Python 3.13; the processor time of all processes together does not depend on those others:

                              1 rank                            8 ranks
    cat                       1.00                 0.47 s/GB    1.00                 0.50 to 0.59 s/GB
    a trip through the loop
    for each block (before)   0.50 (best 0.66)     0.94 s/GB    0.29 to 0.5          1.0 s/GB
    the thread reads (now)    0.78 to 0.95         0.55 s/GB    0.5 to 0.66          0.6 to 0.8 s/GB

What was tried and not taken: pipes of 64 KiB (8 ranks: 0.9 s/GB) and 1 MiB (0.65), blocks of 64 KiB (1.0) to 1 MiB
(0.65), waiting not at all or 1 ms for more (0.75 to 0.85), eight threads instead of four (0.7); 256 KiB for both and
2 ms were best or as good (0.61). ``splice`` refuses files that are open for appending. With 8 ranks the wall time is
short of 0.8 of ``cat``'s while the processor time is 0.7 to 0.95 of it: eight ``cat`` run on their own, our four
threads share one interpreter lock, and, beside other load, the share of one process.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import aelastic

_BLOCK = 64  # KiB


def _writer(mebibytes: int) -> tuple[str, ...]:
    return "dd", "if=/dev/zero", "status=none", f"bs={_BLOCK}k", f"count={mebibytes * 1024 // _BLOCK}"


async def cat(directory: str, ranks: int, mebibytes: int) -> None:
    """The writers' output through ``cat``."""
    writer = " ".join(_writer(mebibytes))
    commands = [f"{writer} | cat > {directory}/{rank}" for rank in range(ranks)]
    for process in [await asyncio.create_subprocess_shell(command) for command in commands]:
        await process.wait()


async def ours(directory: str, ranks: int, mebibytes: int) -> None:
    """The writers as ranks."""
    program, *args = _writer(mebibytes)
    async with aelastic.start_processes(
        "redirect",
        program,
        args=dict.fromkeys(range(ranks), tuple(args)),
        envs={rank: {} for rank in range(ranks)},
        logs_specs=aelastic.DefaultLogsSpecs(directory, redirects=aelastic.Std.OUT),
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert {Path(path).stat().st_size for path in result.stdouts.values()} == {mebibytes << 20}


def _processor_time() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


async def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--mebibytes", type=int, default=512, help="of each rank")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--directory", default=tempfile.gettempdir(), help="where the files are for a moment")
    options = parser.parse_args()
    gigabytes = options.ranks * options.mebibytes / 1000 * 1.048576
    figures: dict[str, list[tuple[float, float]]] = {"cat": [], "ours": []}
    for _ in range(options.turns):
        for name, contender in (("cat", cat), ("ours", ours)):
            directory = tempfile.mkdtemp(dir=options.directory)
            processor, begin = _processor_time(), time.perf_counter()
            await contender(directory, options.ranks, options.mebibytes)
            figures[name].append((time.perf_counter() - begin, _processor_time() - processor))
            shutil.rmtree(directory)
    for name, turns in figures.items():
        ratios = [theirs / mine for (theirs, _), (mine, _) in zip(figures["cat"], turns, strict=True)]
        seconds, processor = (statistics.median(column) for column in zip(*turns, strict=True))
        speed = f"{gigabytes * 1000 / seconds:6.0f} MB/s, {statistics.median(ratios):.2f} of cat's"
        print(f"{name:5} {speed}, {processor / gigabytes:.2f} s of processor time per GB")


if __name__ == "__main__":
    asyncio.run(main())
