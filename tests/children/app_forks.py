"""Forks while its ranks run; what the fork does on its way out must not reach them: ``LOOP HOW``."""

import asyncio
import atexit
import gc
import os
import sys
import warnings

from tests.helpers.apps import run_on
from tests.helpers.ranks import is_alive, shell

import aelastic

kept: list[aelastic.PContext] = []


def leave(how: str) -> None:
    """End the fork."""
    try:
        if how == "drop":
            kept.clear()
            gc.collect()
        elif how == "exit handlers":
            atexit._run_exitfuncs()
        elif how == "close":
            kept[0].request_stop()
            kept[0].send_signal(9)
    finally:
        os._exit(0)


async def main() -> None:
    """Fork, wait for the fork, look at the ranks."""
    kept.append(await shell("exec sleep 600", "exec sleep 600"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any thread, also of ours
        fork = os.fork()
    if fork == 0:
        leave(sys.argv[2])
    await asyncio.to_thread(os.waitpid, fork, 0)
    await kept[0].wait(0.05)
    print("alive", [is_alive(pid) for pid in kept[0].pids().values()], flush=True)
    await kept[0].close()
    assert kept[0].result is not None
    print("result", kept[0].result.exitcodes, flush=True)


run_on(sys.argv[1], main())
