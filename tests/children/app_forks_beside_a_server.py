"""Forks a rank while the fork server makes another one, which takes it a while: ``LOOP DIR``. Then waits."""

import asyncio
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from tests.helpers.apps import run_on
from tests.helpers.functions import sleeps
from tests.helpers.guardians import guardians_of

import aelastic


async def main() -> None:
    """Start both."""
    names: dict[str, Any] = {"args": {0: ()}, "envs": {0: {}}}
    server = aelastic.start_processes("s", sleeps, **names, start_method="forkserver", preload=["slow_to_import"])
    serving = asyncio.ensure_future(server.__aenter__())
    while not guardians_of(os.getpid()):  # noqa: ASYNC110 - nothing else tells that the launch has begun
        await asyncio.sleep(0.001)
    async with aelastic.start_processes("f", sleeps, **names, start_method="fork"):
        print("at once", not serving.done(), flush=True)
        await serving
        print("both are there", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    Path(sys.argv[2], "slow_to_import.py").write_text("import time; time.sleep(1)")
    sys.path.insert(0, sys.argv[2])
    warnings.simplefilter("ignore")
    run_on(sys.argv[1], main())
