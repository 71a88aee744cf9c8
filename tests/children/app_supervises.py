"""Supervises ranks that run the shell SCRIPTs, and ends: ``LOOP ENDING SHUTDOWN_TIMEOUT DIR SCRIPT...``.

ENDING: ``returns`` from ``asyncio.run``, ``is interrupted`` while it waits, ``closes the loop``, ``is in a daemon
thread``. Says ``ready`` when all ranks have.
"""

import asyncio
import sys
import threading
from pathlib import Path

from tests.helpers.apps import new_loop, run_on
from tests.helpers.ranks import redirected
from tests.helpers.supervisors import one_for_one, said

import aelastic

loop_name, ending, timeout, directory, *scripts = sys.argv[1:]
kept: list[aelastic.Supervisor] = []
ready = threading.Event()


async def main() -> None:
    """Start the ranks, and do nothing more about them unless somebody waits."""
    specs = redirected(Path(directory) / "logs")
    supervisor = one_for_one(*scripts, logs_specs=specs, shutdown_timeout=float(timeout))
    kept.append(await supervisor.start())
    for rank in range(len(scripts)):
        await said(supervisor, "ready", rank)
    print("ready", flush=True)
    ready.set()
    if ending in ("is interrupted", "is in a daemon thread"):
        await supervisor.wait()


if ending == "closes the loop":
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main())
    loop.close()
elif ending == "is in a daemon thread":
    threading.Thread(target=lambda: run_on(loop_name, main()), daemon=True).start()
    assert ready.wait(20)
else:
    run_on(loop_name, main())
