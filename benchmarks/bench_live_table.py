"""What does the live table cost when four ranks write as fast as they can?

    python -m benchmarks.bench_live_table [--repeat 5] [--lines 200000]

``aelastic run --tee 3`` on a pseudo-terminal that somebody reads, with the table and with ``--plain``, in turns; where
torch is installed, torchrun as well. Shown: median, fastest and slowest, and the median of the ratios within a turn.
"""

from __future__ import annotations

import argparse
import os
import platform
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

WRITES = "import sys\nfor _ in range({} // 1000): sys.stdout.write('{}\\n' * 1000)\n"
LAUNCHERS = {
    "plain": ("aelastic", "run", "--plain"),
    "table": ("aelastic", "run"),
    "torchrun": ("torch.distributed.run", "--standalone"),
}


def measure(launcher: tuple[str, ...], script: str) -> float:
    """Seconds until everything was read from the terminal."""
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", *launcher, "--nproc-per-node", "4", "--tee", "3", script]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}):
        os.close(slave)
        while _read(master):
            pass
    os.close(master)
    return time.perf_counter() - begin


def _read(master: int) -> bytes:
    try:
        return os.read(master, 1 << 16)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--lines", type=int, default=200_000)
    options = parser.parse_args()
    names = [name for name in LAUNCHERS if name != "torchrun" or find_spec("torch")]
    with tempfile.TemporaryDirectory() as directory:
        script = os.path.join(directory, "writes.py")
        with open(script, "w") as file:
            file.write(WRITES.format(options.lines, "x" * 80))
        turns = [{name: measure(LAUNCHERS[name], script) for name in names} for _ in range(options.repeat)]
    print(f"4 ranks, {options.lines} lines of 81 bytes each; Python {platform.python_version()}, {os.cpu_count()} CPUs")
    for name in names:
        seconds = [turn[name] for turn in turns]
        ratio = statistics.median(turn[name] / turn["plain"] for turn in turns)
        spread = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"{name:10} {spread}, {ratio:.2f} times that of --plain")


if __name__ == "__main__":
    main()
