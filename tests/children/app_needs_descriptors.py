"""Says how many descriptors ranks are said to need, and if these, or ``FEWER`` less, do: ``LOOP KIND DIR FEWER``."""

import asyncio
import errno
import json
import os
import re
import sys
import threading
from typing import Any
from unittest import mock

from tests.helpers import functions
from tests.helpers.apps import run_on
from tests.helpers.limits import births, descriptors
from tests.helpers.ranks import shell

import aelastic
from aelastic.conduct import prepare

KIND, DIRECTORY, FEWER = sys.argv[2], sys.argv[3], int(sys.argv[4])
COUNT = 8
STREAMS = {"none": aelastic.Std.NONE, "out": aelastic.Std.OUT, "all": aelastic.Std.ALL}


def context() -> Any:
    """Ranks of the kind: ``<method>-<streams>``, or ``-tee``, or ``-large`` for what takes a while to be received."""
    method, _, what = KIND.partition("-")
    specs = aelastic.DefaultLogsSpecs(DIRECTORY, redirects=STREAMS.get(what, aelastic.Std.NONE))
    filters: dict[str, Any] = {}
    if what == "tee":
        specs = aelastic.DefaultLogsSpecs(DIRECTORY, tee=aelastic.Std.ALL)
        filters = {"duplicate_stdout_filters": ["x"], "duplicate_stderr_filters": ["x"]}
    if method == "program":
        return shell(*["exec sleep 600"] * COUNT, logs_specs=specs, **filters)
    args = dict.fromkeys(range(COUNT), ("sleeps", b"x" * 2**20 if what == "large" else None))
    envs: dict[int, dict[str, str]] = {rank: {} for rank in args}
    options: Any = {"start_method": method, "logs_specs": specs, "shutdown_timeout": 0, **filters}
    return aelastic.start_processes("f", functions.act, args, envs, **options)


async def completes(allowed: int) -> bool:
    """Whether ranks start with ``allowed`` descriptors left, and nothing has to do without."""
    refused: list[int] = []
    while any(thread.name.startswith("aelastic") for thread in threading.enumerate()):  # noqa: ASYNC110 - of the run before
        await asyncio.sleep(0.001)

    def noting(pid: int, flags: int = 0) -> int:
        try:
            return pidfd_open(pid, flags)
        except OSError as error:
            if error.errno == errno.EMFILE:
                refused.append(pid)
            raise

    pidfd_open = os.pidfd_open
    with mock.patch.object(os, "pidfd_open", noting), descriptors(allowed):
        try:
            ctx = await context()
        except OSError:
            return False
        await ctx.close()
    return not refused


async def refusal(allowed: int) -> tuple[str, list[str]]:
    """What a start with ``allowed`` descriptors left says, and the processes that it has made."""
    with births() as made, descriptors(allowed):
        try:
            await (await context()).close()
        except OSError as error:
            return str(error), made
    return "", made


async def main() -> None:
    """Say it as JSON. The first start is one of a loop and a multiprocessing that have made no process yet."""
    said, made = await refusal(1)
    needed = int(re.findall(r"need (\d+)", said)[0])
    report: dict[str, Any] = {"needed": needed, "refusals": [(said, made), await refusal(needed - 1)]}
    report["enough"] = await completes(needed)
    with mock.patch.object(prepare, "check_descriptors"):
        report["fewer are enough"] = await completes(needed - FEWER)
    print(json.dumps(report))


run_on(sys.argv[1], main())
