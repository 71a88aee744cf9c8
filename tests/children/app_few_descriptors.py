"""Starts ranks with ever more descriptors allowed, and looks for what a refused start left: ``LOOP KIND DIR``.

KIND is that of ``tests.scenarios.kinds``.
"""

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from tests.helpers.apps import run_on
from tests.helpers.leaks import Belongings
from tests.helpers.ranks import redirected
from tests.scenarios import vices
from tests.scenarios.kinds import Kind, ranks

_SPARE = 45
_STEP: dict[str, int] = {"program": 2, "spawn": 5}  # Python takes its time to be started so often
_PATIENCE = 2.0


async def attempt(kind: Kind, allowed: int, **options: Any) -> str | None:
    """Start 4 ranks with ``allowed`` descriptors left; what the refusal says, if it is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + allowed, hard))
    try:
        ctx = await ranks(kind, vices.stay, (), (), (), (), **options)
        await ctx.close()
    except OSError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return None


async def left_behind(before: Belongings, tasks: set[asyncio.Task[Any]]) -> list[str]:
    """What is still there when the loop has had time to turn."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        left = [one for one in before.left_behind(patience=0) if not one.startswith("signal handler")]  # asyncio.run's
        left += [str(task) for task in asyncio.all_tasks() - tasks]
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0)


async def main(kind: Kind, directory: Path) -> None:
    """Say as JSON what was refused, and what was left behind."""
    report: dict[str, Any] = {"started": 0, "refused": 0, "left behind": [], "refusals": []}
    await attempt(kind, _SPARE)  # a loop opens some descriptors with its first process, and keeps them
    for allowed in range(0, _SPARE, _STEP[kind]):
        for options in ({"logs_specs": redirected(directory)}, {}):
            before, tasks = Belongings.now(), asyncio.all_tasks()
            refusal = await attempt(kind, allowed, **options)
            report["started" if refusal is None else "refused"] += 1
            report["refusals"] += [refusal] if refusal else []
            report["left behind"] += [f"{allowed}: {left}" for left in await left_behind(before, tasks)]
    print(json.dumps(report))


if __name__ == "__main__":  # what a function's rank must not do
    run_on(sys.argv[1], main(sys.argv[2], Path(sys.argv[3])))  # type: ignore[arg-type]
