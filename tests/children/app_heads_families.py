"""Runs ranks that have families, for ever: ``LOOP KIND COUNT [HOW]``. Says ``families`` and every pid.

KIND is that of ``tests.scenarios.kinds``. HOW: ``is closing`` has told deaf ranks to end; ``has forked`` has a fork of
its own that lives on, whose pid comes first; ``runs twice`` has a second run, and closed a third; ``executes`` becomes
another program.
"""

import os
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helpers.apps import run_on
from tests.helpers.ranks import line_of, redirected
from tests.scenarios import vices
from tests.scenarios.kinds import Kind, ranks

import aelastic

PARTS = ("sleeps", "is deaf", "is stuck", "sleeps")


async def families_of(ctx: aelastic.PContext) -> list[str]:
    """The pids that each rank has said."""
    lines = [await line_of(ctx, "family ", rank) for rank in range(ctx.nprocs)]
    return [pid for line in lines for pid in line.text.split()[1:]]


async def started(kind: Kind, count: int, directory: str) -> aelastic.PContext:
    """Ranks with families."""
    parts = [(PARTS[rank % len(PARTS)],) for rank in range(count)]
    return await ranks(kind, vices.heads_family, *parts, logs_specs=redirected(Path(directory)), shutdown_timeout=600)


async def main(kind: Kind, count: int, how: str) -> None:
    """Start, prepare what HOW wants, tell, and wait."""
    with TemporaryDirectory() as directory:
        ctx = await started(kind, count, directory)
        pids = await families_of(ctx)
    if how == "runs twice":
        other, third = await started(kind, 1, directory), await started(kind, 1, directory)
        pids += await families_of(other)
        await families_of(third)
        await third.close(timeout=0)
    if how == "has forked":
        if not (fork := os.fork()):
            time.sleep(600)
        pids.insert(0, str(fork))
    if how == "is closing":
        ctx.request_stop()
        await ctx.wait(0.05)
    print("families", *pids, flush=True)
    if how == "executes":
        os.execv("/bin/sleep", ["sleep", "600"])  # noqa: S606 - the same process is to go on
    await ctx.wait()


if __name__ == "__main__":  # what a function's rank must not do
    warnings.simplefilter("ignore")
    run_on(sys.argv[1], main(sys.argv[2], int(sys.argv[3]), " ".join(sys.argv[4:])))  # type: ignore[arg-type]
