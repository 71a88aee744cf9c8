"""Short ways to use torch's elastic multiprocessing. Its import takes seconds: only its own contender does it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.faults.stage import Stage


def start(stage: Stage, entrypoint: Callable[..., Any] | str, *args: tuple[Any, ...], **options: Any) -> Any:
    """Start one rank per tuple of arguments, both streams in log files; a started ``PContext``."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std, start_processes

    specs = DefaultLogsSpecs(stage.path("logs"), redirects=Std.ALL, tee=options.pop("tee", Std.NONE))
    envs: dict[int, dict[str, str]] = {rank: {} for rank in range(len(args))}
    return start_processes("w", entrypoint, dict(enumerate(args)), envs, options.pop("specs", specs), **options)


def python(stage: Stage, *scripts: str, **options: Any) -> Any:
    """The same with Python code for each rank, run by a program."""
    return start(stage, sys.executable, *[("-c", script) for script in scripts], **options)
