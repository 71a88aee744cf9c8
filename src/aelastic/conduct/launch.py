"""``start_processes``: the one call that most users make."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, overload

from aelastic.conduct.context import MultiprocessContext, Starting, SubprocessContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aelastic.conduct.containment import Mode
    from aelastic.conduct.functions import StartMethod
    from aelastic.conduct.sockets import Sockets
    from aelastic.logs.specs import LogsSpecs
    from aelastic.numa import NumaOptions
    from aelastic.readiness import Readiness


@overload
def start_processes(
    name: str,
    entrypoint: str,
    args: Mapping[int, Sequence[Any]],
    envs: Mapping[int, Mapping[str, str]],
    logs_specs: LogsSpecs | None = ...,
    log_line_prefixes: Mapping[int, str] | None = ...,
    start_method: StartMethod = ...,
    numa_options: NumaOptions | None = ...,
    duplicate_stdout_filters: Sequence[str] | None = ...,
    duplicate_stderr_filters: Sequence[str] | None = ...,
    *,
    death_sig: int = ...,
    shutdown_timeout: float = ...,
    drain_timeout: float = ...,
    failure_grace: float = ...,
    readiness: Readiness | Mapping[int, Readiness] | None = ...,
    ready_timeout: float | None = ...,
    watchdog: float | None = ...,
    strip_escapes: bool | None = ...,
    containment: Mode | None = ...,
    sockets: Sockets = ...,
    preload: Sequence[str] = ...,
) -> Starting[SubprocessContext]: ...


@overload
def start_processes(
    name: str,
    entrypoint: Callable[..., Any],
    args: Mapping[int, Sequence[Any]],
    envs: Mapping[int, Mapping[str, str]],
    logs_specs: LogsSpecs | None = ...,
    log_line_prefixes: Mapping[int, str] | None = ...,
    start_method: StartMethod = ...,
    numa_options: NumaOptions | None = ...,
    duplicate_stdout_filters: Sequence[str] | None = ...,
    duplicate_stderr_filters: Sequence[str] | None = ...,
    *,
    death_sig: int = ...,
    shutdown_timeout: float = ...,
    drain_timeout: float = ...,
    failure_grace: float = ...,
    readiness: Readiness | Mapping[int, Readiness] | None = ...,
    ready_timeout: float | None = ...,
    watchdog: float | None = ...,
    strip_escapes: bool | None = ...,
    containment: Mode | None = ...,
    sockets: Sockets = ...,
    preload: Sequence[str] = ...,
) -> Starting[MultiprocessContext]: ...


def start_processes(
    name: str,
    entrypoint: str | Callable[..., Any],
    args: Mapping[int, Sequence[Any]],
    envs: Mapping[int, Mapping[str, str]],
    logs_specs: LogsSpecs | None = None,
    log_line_prefixes: Mapping[int, str] | None = None,
    start_method: StartMethod = "spawn",
    numa_options: NumaOptions | None = None,
    duplicate_stdout_filters: Sequence[str] | None = None,
    duplicate_stderr_filters: Sequence[str] | None = None,
    *,
    death_sig: int = signal.SIGTERM,
    shutdown_timeout: float = 30.0,
    drain_timeout: float = 1.0,
    failure_grace: float = 0.0,
    readiness: Readiness | Mapping[int, Readiness] | None = None,
    ready_timeout: float | None = None,
    watchdog: float | None = None,
    strip_escapes: bool | None = None,
    containment: Mode | None = None,
    sockets: Sockets = (),
    preload: Sequence[str] = (),
) -> Starting[SubprocessContext] | Starting[MultiprocessContext]:
    """Start one rank for each entry of ``args``: ``entrypoint`` with these arguments and this environment.

    A ``str`` is a program, a callable (plain or ``async def``) a Python function, whose values the result brings home.
    What is returned can be awaited (``ctx = await start_processes(...)``) or entered (``async with
    start_processes(...) as ctx``). The arguments are those of ``PContext``; ``start_method`` and ``preload`` concern
    functions, see ``MultiprocessContext``. Names, order and defaults are torch's.

    Raises ``InvalidRanksError`` and ``InvalidArgumentError`` at once; see ``PContext.start`` for what awaiting raises.
    """
    options: dict[str, Any] = {
        "logs_specs": logs_specs,
        "log_line_prefixes": log_line_prefixes,
        "numa_options": numa_options,
        "duplicate_stdout_filters": duplicate_stdout_filters,
        "duplicate_stderr_filters": duplicate_stderr_filters,
        "death_sig": death_sig,
        "shutdown_timeout": shutdown_timeout,
        "drain_timeout": drain_timeout,
        "failure_grace": failure_grace,
        "readiness": readiness,
        "ready_timeout": ready_timeout,
        "watchdog": watchdog,
        "strip_escapes": strip_escapes,
        "containment": containment,
        "sockets": sockets,
    }
    if not callable(entrypoint):
        return Starting(SubprocessContext(name, entrypoint, args, envs, **options))
    return Starting(MultiprocessContext(name, entrypoint, args, envs, start_method, preload=preload, **options))
