"""Ends while a daemon thread of its runs ranks in a loop: ``LOOP SHUTDOWN_TIMEOUT DIR SCRIPT...``."""

import sys
import threading
from pathlib import Path

from tests.helpers.apps import run_on
from tests.helpers.ranks import line_of, redirected, shell

started = threading.Event()


async def main() -> None:
    """Start the ranks and wait for them."""
    scripts, specs = sys.argv[4:], redirected(Path(sys.argv[3]))
    async with shell(*scripts, logs_specs=specs, shutdown_timeout=float(sys.argv[2])) as ctx:
        for rank in range(len(scripts)):
            await line_of(ctx, "ready", rank)
        started.set()
        await ctx.wait()


threading.Thread(target=lambda: run_on(sys.argv[1], main()), daemon=True).start()
assert started.wait(20)
