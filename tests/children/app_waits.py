"""Waits for ranks that run the shell SCRIPTs: ``LOOP SHUTDOWN_TIMEOUT DIR SCRIPT...``. Says ``ready`` when all are.

LOOP ``bare`` is a stock loop without ``asyncio.run``: a Ctrl-C is raised wherever it finds the program.
"""

import asyncio
import sys
from pathlib import Path

from tests.helpers.apps import run_on
from tests.helpers.ranks import line_of, redirected, shell


async def main() -> None:
    """Wait for the ranks."""
    scripts, specs = sys.argv[4:], redirected(Path(sys.argv[3]))
    async with shell(*scripts, logs_specs=specs, shutdown_timeout=float(sys.argv[2])) as ctx:
        for rank in range(len(scripts)):
            await line_of(ctx, "ready", rank)
        print("ready", flush=True)
        try:
            await ctx.wait()
        finally:
            print("result", ctx.result and ctx.result.exitcodes, flush=True)


if sys.argv[1] == "bare":
    asyncio.new_event_loop().run_until_complete(main())
else:
    run_on(sys.argv[1], main())
