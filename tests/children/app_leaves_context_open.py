"""Ends ``asyncio.run`` with ranks running: ``LOOP SHUTDOWN_TIMEOUT DIR SCRIPT...``. Says where the logs are."""

import sys
from pathlib import Path

from tests.helpers.apps import run_on
from tests.helpers.ranks import line_of, redirected, shell

import aelastic

kept: list[aelastic.PContext] = []


async def main() -> None:
    """Start the ranks, and do nothing more about them."""
    scripts, specs = sys.argv[4:], redirected(Path(sys.argv[3]))
    ctx = await shell(*scripts, logs_specs=specs, shutdown_timeout=float(sys.argv[2]))
    kept.append(ctx)
    for rank in range(len(scripts)):
        await line_of(ctx, "ready", rank)
    print(ctx.stdouts[0], flush=True)


run_on(sys.argv[1], main())
result = kept[0].result
print("result", result and result.exitcodes)
