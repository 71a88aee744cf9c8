"""Short ways to use aelastic."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import aelastic

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aelastic.conduct.context import Starting
    from benchmarks.faults.stage import Stage


def start(stage: Stage, entrypoint: Callable[..., Any] | str, *args: tuple[Any, ...], **options: Any) -> Starting[Any]:
    """Start one rank per tuple of arguments, both streams in log files."""
    tee = options.pop("tee", aelastic.Std.NONE)
    specs = aelastic.DefaultLogsSpecs(stage.path("logs"), redirects=aelastic.Std.ALL, tee=tee)
    envs: dict[int, dict[str, str]] = {rank: {} for rank in range(len(args))}
    return aelastic.start_processes(
        "w",
        entrypoint,
        dict(enumerate(args)),
        envs,
        options.pop("specs", specs),
        **options,
    )


def python(stage: Stage, *scripts: str, **options: Any) -> Starting[Any]:
    """The same with Python code for each rank, run by a program."""
    return start(stage, sys.executable, *[("-c", script) for script in scripts], **options)


def run(main: Coroutine[Any, Any, None]) -> None:
    """On the stock loop."""
    asyncio.run(main)
