"""``start_processes``: the one call that most users make."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Literal

from aelastic.conduct.context import Starting, SubprocessContext
from aelastic.errors.base import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aelastic.logs.specs import LogsSpecs


def start_processes(
    name: str,
    entrypoint: str,
    args: Mapping[int, Sequence[Any]],
    envs: Mapping[int, Mapping[str, str]],
    logs_specs: LogsSpecs | None = None,
    log_line_prefixes: Mapping[int, str] | None = None,
    start_method: Literal["spawn", "fork", "forkserver"] = "spawn",
    numa_options: None = None,
    duplicate_stdout_filters: Sequence[str] | None = None,
    duplicate_stderr_filters: Sequence[str] | None = None,
    *,
    death_sig: int = signal.SIGTERM,
    shutdown_timeout: float = 30.0,
    drain_timeout: float = 1.0,
    failure_grace: float = 0.0,
) -> Starting[SubprocessContext]:
    """Start one rank for each entry of ``args``: ``entrypoint`` with these arguments and this environment.

    The result can be awaited (``ctx = await start_processes(...)``) or entered (``async with start_processes(...) as
    ctx``). The arguments are those of ``PContext``; ``start_method`` concerns ranks that run a Python function.
    Names, order and defaults are torch's.

    Raises ``InvalidRanksError`` and ``InvalidArgumentError`` at once; see ``PContext.start`` for what awaiting raises.
    """
    if callable(entrypoint):
        raise InvalidArgumentError("entrypoint: ranks that run a Python function are not supported yet; give a program")
    return Starting(
        SubprocessContext(
            name,
            entrypoint,
            args,
            envs,
            logs_specs,
            log_line_prefixes,
            numa_options,
            duplicate_stdout_filters,
            duplicate_stderr_filters,
            death_sig=death_sig,
            shutdown_timeout=shutdown_timeout,
            drain_timeout=drain_timeout,
            failure_grace=failure_grace,
        )
    )
