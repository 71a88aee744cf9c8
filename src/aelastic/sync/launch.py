"""``start_processes`` as torch has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, overload

from aelastic.sync.context import MultiprocessContext, SubprocessContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from aelastic.conduct.containment import Mode
    from aelastic.conduct.functions import StartMethod
    from aelastic.conduct.sockets import Sockets
    from aelastic.logs.specs import LogsSpecs
    from aelastic.numa import NumaOptions
    from aelastic.readiness import Readiness


class Options(TypedDict, total=False):
    """Those of ``aelastic.start_processes`` that torch has not, with the same meaning and defaults."""

    death_sig: int
    shutdown_timeout: float
    drain_timeout: float
    failure_grace: float
    readiness: Readiness | Mapping[int, Readiness] | None
    ready_timeout: float | None
    watchdog: float | None
    strip_escapes: bool | None
    containment: Mode | None
    sockets: Sockets
    preload: Sequence[str]


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
    **options: Unpack[Options],
) -> SubprocessContext: ...


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
    **options: Unpack[Options],
) -> MultiprocessContext: ...


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
    **options: Unpack[Options],
) -> SubprocessContext | MultiprocessContext:
    """Start one rank for each entry of ``args``, and return when all have started.

    Names, order and defaults are torch's; ``options`` are the others of ``aelastic.start_processes``, which says what
    they mean and what is raised. Nothing was started when something is raised.
    """
    given: dict[str, Any] = {
        "logs_specs": logs_specs,
        "log_line_prefixes": log_line_prefixes,
        "numa_options": numa_options,
        "duplicate_stdout_filters": duplicate_stdout_filters,
        "duplicate_stderr_filters": duplicate_stderr_filters,
        **options,
    }
    if callable(entrypoint):
        return MultiprocessContext(name, entrypoint, args, envs, start_method, **given).start()
    given.pop("preload", None)
    return SubprocessContext(name, entrypoint, args, envs, **given).start()
