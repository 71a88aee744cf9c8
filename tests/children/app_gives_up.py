"""Supervises a rank that always fails, and raises what came of it: ``LOOP``."""

import sys

from tests.helpers.apps import run_on
from tests.helpers.supervisors import one_for_one

import aelastic


async def main() -> None:
    """Run it to its end."""
    async with one_for_one("exit 3", restart=aelastic.RestartPolicy(max_restarts=2, backoff=0)) as supervisor:
        result = await supervisor.wait()
    result.raise_for_failures()


run_on(sys.argv[1], main())
