"""Runs ranks as anybody does, wherever it was started, and says as JSON what came of it: ``LOOP DIR [WHAT ...]``.

``ignoring``: from when the ranks run it ignores SIGCHLD. ``orphans``: it has children that it does not know of.
``one-cpu``: it may run on one cpu, and its ranks are to be bound to the cpus of their node.
"""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.helpers import functions
from tests.helpers.apps import run_on
from tests.helpers.ranks import is_alive, redirected, shell, state_of

import aelastic

DIRECTORY, WHAT = Path(sys.argv[2]), sys.argv[3:]
SLEEPING = "exec sleep 600"
CLOSES_ITS_OUTPUT = "exec >&- 2>&-; exec sleep 600"
IDLE = 0.5  # seconds
ORPHANS = "for time in 600 0; do setsid sleep $time > /dev/null 2>&1 & echo $!; done"


async def run_to_the_end(report: dict[str, Any]) -> None:
    """Ranks that do something and end."""
    go = DIRECTORY / "go"
    scripts = [f"until [ -e {go} ]; do :; done; echo {rank}; exit {rank}" for rank in range(2)]
    async with shell(*scripts, failure_grace=60, logs_specs=redirected(DIRECTORY)) as ctx:
        if "ignoring" in WHAT:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        go.touch()
        result = await ctx.wait()
    assert result is not None
    report["exit codes"] = [result.exitcodes[0], result.exitcodes[1]]
    report["said"] = [Path(path).read_text() for path in result.stdouts.values()]


async def bring_values_home(report: dict[str, Any]) -> None:
    """Ranks that run a function."""
    options: dict[str, Any] = {}
    if "one-cpu" in WHAT:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        options["numa_options"] = aelastic.NumaOptions(aelastic.AffinityMode.NODE)
    async with aelastic.start_processes("f", functions.cpus, {0: (), 1: ()}, {0: {}, 1: {}}, **options) as ctx:
        result = await ctx.wait()
    assert result is not None
    report["cpus"] = [cpus == os.sched_getaffinity(0) for cpus in result.return_values.values()]


async def sit_idle(report: dict[str, Any]) -> None:
    """Ranks that do nothing, and are closed."""
    async with shell(SLEEPING, CLOSES_ITS_OUTPUT, logs_specs=redirected(DIRECTORY)) as ctx:
        await asyncio.sleep(IDLE / 5)
        before = time.process_time()
        await asyncio.sleep(IDLE)
        report["idle"] = (time.process_time() - before) / IDLE
        report["alive"] = [is_alive(pid) for pid in ctx.pids().values()]
    report["closed"] = [is_alive(pid) for pid in ctx.pids().values()]


async def start_too_many(report: dict[str, Any]) -> None:
    """More ranks than 64 descriptors are enough for."""
    try:
        async with shell(*[SLEEPING] * 30, logs_specs=redirected(DIRECTORY)):
            report["many"] = "started"
    except OSError as error:
        report["many"] = errno.errorcode[error.errno or 0]


async def main() -> None:
    """Say it."""
    report: dict[str, Any] = {"pid": os.getpid()}
    orphans = []
    if "orphans" in WHAT:
        orphans = [int(pid) for pid in subprocess.check_output(["/bin/sh", "-c", ORPHANS]).split()]
    await run_to_the_end(report)
    await bring_values_home(report)
    await sit_idle(report)
    await start_too_many(report)
    report["orphans"] = [state_of(pid) for pid in orphans]
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)
    print(json.dumps(report))


run_on(sys.argv[1], main())
