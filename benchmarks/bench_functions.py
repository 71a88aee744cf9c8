"""How long do four trivial function ranks take, from the call to the values, by spawn?

    python -m benchmarks.bench_functions [--repeat 7] [--nprocs 4]

Each contender runs in a fresh interpreter (its import is not counted), in turns. Shown: median, fastest and slowest,
and the median of the ratios within a turn. A contender that cannot run is shown so.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys

CONTENDERS = ("aelastic_", "multiprocessing_", "torch_elastic")
SCRIPT = """
import sys, time
from importlib import import_module
from benchmarks.contenders.trivial import work

if __name__ == "__main__":
    contender = import_module("benchmarks.contenders." + sys.argv[1])
    nprocs = int(sys.argv[2])
    begin = time.perf_counter()
    values = contender.function_ranks(nprocs)
    print(time.perf_counter() - begin)
    assert values == {rank: rank for rank in range(nprocs)}, values
"""


def measure(contender: str, nprocs: int) -> float | str:
    """Seconds of one run in a fresh interpreter, or why there was none."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, contender, str(nprocs)], capture_output=True, text=True, check=False
    )
    return float(done.stdout) if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--nprocs", type=int, default=4)
    options = parser.parse_args()
    turns = []
    for turn in range(options.repeat + 1):  # the first warms the caches and is left out
        turns.append({contender: measure(contender, options.nprocs) for contender in CONTENDERS})
        print(f"turn {turn} of {options.repeat}", file=sys.stderr)
    print(f"{options.nprocs} trivial function ranks, spawn; Python {platform.python_version()}, {platform.machine()}")
    for contender in CONTENDERS:
        print(
            f"{contender:18}",
            describe([turn[contender] for turn in turns[1:]], [turn["aelastic_"] for turn in turns[1:]]),
        )


def describe(times: list[float | str], ours: list[float | str]) -> str:
    """One row of the table."""
    seconds = [one for one in times if isinstance(one, float)]
    if len(seconds) < len(times):
        return f"cannot: {next(one for one in times if isinstance(one, str))}"
    ratios = [mine / one for one, mine in zip(seconds, ours, strict=True) if isinstance(mine, float)]
    spread = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
    return f"{spread}, aelastic takes {statistics.median(ratios):.2f} of it"


if __name__ == "__main__":
    main()
