"""Closes its loop while ranks run, and ends: ``LOOP SHUTDOWN_TIMEOUT DIR SCRIPT...``. Without a word to aelastic."""

import asyncio
import sys
from pathlib import Path

from tests.helpers.apps import new_loop
from tests.helpers.ranks import line_of, redirected, shell

import aelastic


async def main() -> aelastic.PContext:
    """Start the ranks."""
    scripts, specs = sys.argv[4:], redirected(Path(sys.argv[3]))
    ctx = await shell(*scripts, logs_specs=specs, shutdown_timeout=float(sys.argv[2]))
    for rank in range(len(scripts)):
        await line_of(ctx, "ready", rank)
    return ctx


loop = new_loop(sys.argv[1])
asyncio.set_event_loop(loop)
kept = loop.run_until_complete(main())
loop.close()
