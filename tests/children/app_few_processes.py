"""Starts ranks with ever more processes allowed to its user, and says what came of it: ``LOOP KIND DIR``.

For a user that nobody else is, without the privilege to have more. A thread counts as a process.
"""

import asyncio
import json
import os
import resource
import sys
import threading
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.helpers import functions
from tests.helpers.apps import run_on
from tests.helpers.leaks import Belongings, left_in_loop
from tests.helpers.limits import soft_limit
from tests.helpers.ranks import redirected, shell

import aelastic

_RANKS = 3
_MOST = 50


def context(specs: aelastic.LogsSpecs | None) -> Any:
    """Ranks of the kind that was asked for."""
    if sys.argv[2] == "program":
        return shell(*["exec sleep 600"] * _RANKS, logs_specs=specs)
    args = dict.fromkeys(range(_RANKS), ("sleeps",))
    envs: dict[int, dict[str, str]] = {rank: {} for rank in args}
    options: Any = {"start_method": sys.argv[2], "shutdown_timeout": 0}
    return aelastic.start_processes("f", functions.act, args, envs, specs, **options)


async def attempt(allowed: int, specs: aelastic.LogsSpecs | None = None) -> str:
    """What the refusal says, if it is refused."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    with soft_limit(resource.RLIMIT_NPROC, threading.active_count() + allowed) as limits:
        resource.prlimit(server, resource.RLIMIT_NPROC, limits)
        try:
            ctx = await context(specs)
        except OSError as error:
            return str(error)
        finally:
            forkserver.ensure_running()
    await ctx.close()
    return ""


async def main() -> None:
    """Say it as JSON, when starts succeed at last."""
    left: list[str] = []
    refusals: set[str] = set()
    forkserver.ensure_running()
    for allowed in range(_MOST):
        for specs in (redirected(Path(sys.argv[3])), None):
            before, tasks = Belongings.now(), asyncio.all_tasks()
            refusals.add(await attempt(allowed, specs))
            server = forkserver._forkserver._forkserver_alive_fd  # type: ignore[attr-defined]  # it may be a new one
            left += await left_in_loop(before, tasks, "multiprocessing.forkserver", f"descriptor {server} ->")
        if "" in refusals:
            break
    print(json.dumps({"refusals": sorted(refusals), "left behind": left}))


assert os.getuid() != 0
run_on(sys.argv[1], main())
