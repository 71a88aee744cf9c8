"""Waits for its ranks to be ready, and ends without closing them: ``LOOP HOW``."""

import asyncio
import sys

from tests.helpers.apps import new_loop
from tests.helpers.ranks import python

import aelastic

READY = """
import time
from aelastic import rank
rank.ready()
while True: rank.heartbeat(); time.sleep(0.05)
"""


async def main() -> aelastic.PContext:
    """Start the ranks."""
    ctx = await python(READY, READY, readiness=aelastic.Notify(), watchdog=60, shutdown_timeout=5)
    await ctx.ready()
    return ctx


loop = new_loop(sys.argv[1])
asyncio.set_event_loop(loop)
kept = loop.run_until_complete(main())
print(*kept.pids().values(), flush=True)
if sys.argv[2] == "closes its loop":
    loop.close()
elif sys.argv[2] == "is interrupted":
    loop.run_forever()
elif sys.argv[2] == "drops them":
    del kept
