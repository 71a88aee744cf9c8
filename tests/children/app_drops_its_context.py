"""Loses its context while the loop runs, with warnings as errors: ``LOOP``. Says the pid of the rank, then waits."""

import asyncio
import gc
import sys

from tests.helpers.apps import reaped, run_on
from tests.helpers.ranks import shell


async def main() -> None:
    """Start a rank and drop its context."""
    ctx = await shell("exec sleep 600")
    pid = ctx.pids()[0]
    del ctx
    gc.collect()
    print("gone" if await reaped(pid) else "there", flush=True)
    await asyncio.sleep(0)


run_on(sys.argv[1], main())
