"""What does the dashboard cost the service that it is mounted in?

    python -m benchmarks.dashboard [--ranks 64] [--rates 16 1000] [--watchers 5] [--seconds 15]

A service under uvicorn has ranks that write ``rate`` lines a second each. Shown is the processor time of the service's
own process, in percent of one core: with nobody watching, which is what capturing the lines costs, and with watchers
that take all that they are sent. Watchers and ranks have processes of their own. Needs psutil.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

WRITES = """
import sys, time
rank, rate = int(sys.argv[1]), float(sys.argv[2])
pause = max(0.05, 1 / rate)
time.sleep(pause * rank / 64)
due, number = time.monotonic(), 0
while True:
    lines = [f"line {number + one} of rank {rank}: {'x' * 60}\\n" for one in range(round(rate * pause))]
    number += len(lines)
    sys.stdout.write("".join(lines)); sys.stdout.flush()
    due += pause
    time.sleep(max(0, due - time.monotonic()))
"""
SERVICE = """
import sys
import aelastic, aelastic.web
from starlette.applications import Starlette
from starlette.routing import Mount

RANKS = range({ranks})
specs = aelastic.DefaultLogsSpecs({directory!r}, redirects=aelastic.Std.ALL)
args = {{rank: ("-SE", "-c", {writes!r}, str(rank), "{rate}") for rank in RANKS}}
lifespan = aelastic.web.lifespan(
    lambda: aelastic.start_processes("bench", sys.executable, args, {{rank: {{}} for rank in RANKS}}, specs)
)
app = Starlette(routes=[Mount("/ranks", aelastic.web.dashboard(lifespan, linger=1))], lifespan=lifespan)
"""


@dataclass
class Received:
    """What one watcher got."""

    lines: int = 0
    dropped: int = 0
    size: int = 0
    longest_pause: float = 0.0
    last: float = field(default_factory=time.perf_counter)

    def take(self, line: str) -> None:
        """One line of the stream."""
        now = time.perf_counter()
        self.longest_pause, self.last = max(self.longest_pause, now - self.last), now
        self.size += len(line)
        if line.startswith('data: {"lines":[['):
            portion = json.loads(line.removeprefix("data: "))
            self.lines += len(portion["lines"])
            self.dropped += sum(portion["dropped"].values()) + portion["missed"]


async def watch(url: str, seconds: float) -> Received:
    """Take all that comes for so long."""
    received = Received()
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url) as response:
        lines = response.aiter_lines()
        try:
            async with asyncio.timeout(seconds):
                async for line in lines:
                    received.take(line)
        except TimeoutError:
            pass
    return received


def busy(process: psutil.Process) -> float:
    """Processor time so far, without that of its children."""
    times = process.cpu_times()
    return times.user + times.system


async def measure(url: str, server: int, watchers: int, seconds: float) -> None:
    """Print what it takes with nobody watching and with ``watchers``, in turns."""
    process = psutil.Process(server)
    for number in (0, watchers, 0, watchers):
        watching = [asyncio.create_task(watch(f"{url}/api/runs/ranks/stream", seconds + 2)) for _ in range(number)]
        await asyncio.sleep(2)  # the first seconds have what was there before
        begin, before = time.perf_counter(), busy(process)
        await asyncio.sleep(seconds)
        share = (busy(process) - before) / (time.perf_counter() - begin)
        text = f"  {number} watchers: {share:6.1%} of a core"
        if watching:
            got = await asyncio.gather(*watching)
            total, pause = seconds + 2, max(one.longest_pause for one in got)
            text += (
                f"; each got {got[0].lines / total:.0f} lines/s ({got[0].size / total / 1024:.0f} KiB/s), "
                f"{got[0].dropped / total:.0f} lines/s dropped, longest pause {pause:.2f} s"
            )
        print(text, flush=True)
        await asyncio.sleep(2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--rates", type=float, nargs="+", default=[16, 1000])
    parser.add_argument("--watchers", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {psutil.cpu_count()} cpus, {options.ranks} ranks")
    for rate in options.rates:
        with tempfile.TemporaryDirectory() as directory:
            service = SERVICE.format(ranks=options.ranks, directory=directory, writes=WRITES, rate=rate)
            Path(directory, "service.py").write_text(service)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "service:app"]
            with subprocess.Popen(command, cwd=directory) as server:
                url = f"http://127.0.0.1:{port}/ranks"
                wait_for(f"{url}/readyz")
                print(f"{rate:g} lines/s of each rank, load {psutil.getloadavg()[0]:.1f}", flush=True)
                asyncio.run(measure(url, server.pid, options.watchers, options.seconds))
                server.terminate()


def wait_for(url: str) -> None:
    """Until it answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(url)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
