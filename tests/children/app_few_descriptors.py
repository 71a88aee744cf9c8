"""Starts ranks with ever more descriptors allowed, and looks for what a refused start left: ``LOOP KIND DIR``.

KIND is that of ``tests.scenarios.kinds``. They run out half-way, as if the application had taken them after they were
counted.
"""

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from tests.helpers.apps import run_on
from tests.helpers.leaks import Belongings, left_in_loop
from tests.helpers.ranks import redirected
from tests.scenarios import vices
from tests.scenarios.kinds import Kind, ranks

from aelastic.conduct import prepare

_SPARE = 45
_STEP: dict[str, int] = {"program": 2, "spawn": 5}  # Python takes its time to be started so often


async def attempt(kind: Kind, allowed: int, **options: Any) -> str | None:
    """Start 4 ranks with ``allowed`` descriptors left; what the refusal says, if it is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + allowed, hard))
    try:
        with mock.patch.object(prepare, "check_descriptors"):
            ctx = await ranks(kind, vices.stay, (), (), (), (), **options)
        await ctx.close()
    except OSError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return None


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
            report["left behind"] += [f"{allowed}: {left}" for left in await left_in_loop(before, tasks)]
    print(json.dumps(report))


if __name__ == "__main__":  # what a function's rank must not do
    run_on(sys.argv[1], main(sys.argv[2], Path(sys.argv[3])))  # type: ignore[arg-type]
