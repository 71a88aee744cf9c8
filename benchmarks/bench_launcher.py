"""How long does the launcher take for a script that does nothing, on two ranks, from the shell's view?

    python -m benchmarks.bench_launcher [--repeat 9] [--nproc 2]

``aelastic run`` and ``torchrun --standalone`` take turns, both started as ``python -m``. Shown: median, fastest and
slowest, and the median of the ratios within a turn. Without torch, there is one contender.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

LAUNCHERS = {"aelastic run": ("aelastic", "run"), "torchrun": ("torch.distributed.run", "--standalone")}


def measure(launcher: tuple[str, ...], nproc: int, script: str) -> float:
    """Seconds of one run, from the start of the launcher to its end."""
    command = [sys.executable, "-m", *launcher, "--nproc-per-node", str(nproc), script]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=env)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--nproc", type=int, default=2)
    options = parser.parse_args()
    launchers = LAUNCHERS if find_spec("torch") else {"aelastic run": LAUNCHERS["aelastic run"]}
    with tempfile.TemporaryDirectory() as directory:
        script = os.path.join(directory, "trivial.py")
        with open(script, "w") as file:
            file.write("pass\n")
        turns = [
            {name: measure(launcher, options.nproc, script) for name, launcher in launchers.items()}
            for _ in range(options.repeat + 1)
        ][1:]  # the first warms the caches
    print(
        f"a script that does nothing, {options.nproc} ranks; Python {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    for name in launchers:
        seconds = [turn[name] for turn in turns]
        ratio = statistics.median(turn[name] / turn["aelastic run"] for turn in turns)
        spread = f"{statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
        print(f"{name:14} {spread}, {ratio:.1f} times aelastic's")


if __name__ == "__main__":
    main()
