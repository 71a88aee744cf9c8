"""Has the fork server make a rank whose function's module takes long to import: ``LOOP DIR``. Then waits."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from tests.helpers.apps import run_on

import aelastic

SLOW = """
import os, time
print("importing in the environment of", os.environ.get("RANK"), flush=True)
time.sleep(0 if os.environ["APP"] == str(os.getpid()) else 60)
def function(): pass
"""


async def main() -> None:
    """Start the rank."""
    module = importlib.import_module("slow")
    specs = aelastic.DefaultLogsSpecs(sys.argv[2], redirects=aelastic.Std.ALL)
    ranks: dict[str, Any] = {"args": {0: ()}, "envs": {0: {"RANK": "zero"}}}
    async with aelastic.start_processes(
        "s", module.function, **ranks, logs_specs=specs, start_method="forkserver"
    ) as ctx:
        async for line in ctx.logs():
            print("the rank is", line.text, flush=True)
        await ctx.wait()


if __name__ == "__main__":
    os.environ["APP"] = str(os.getpid())
    Path(sys.argv[2], "slow.py").write_text(SLOW)
    sys.path.insert(0, sys.argv[2])
    run_on(sys.argv[1], main())
