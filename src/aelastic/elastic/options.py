"""What a supervisor hands on to every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aelastic.conduct.containment import Mode
    from aelastic.conduct.functions import StartMethod
    from aelastic.conduct.sockets import Sockets
    from aelastic.numa import NumaOptions
    from aelastic.readiness import Readiness


class RunOptions(TypedDict, total=False):
    """The options of ``start_processes`` that a ``Supervisor`` takes as well, with the same meaning and defaults."""

    log_line_prefixes: Mapping[int, str] | None
    start_method: StartMethod
    numa_options: NumaOptions | None
    duplicate_stdout_filters: Sequence[str] | None
    duplicate_stderr_filters: Sequence[str] | None
    death_sig: int
    shutdown_timeout: float
    drain_timeout: float
    failure_grace: float
    readiness: Readiness | Mapping[int, Readiness] | None
    ready_timeout: float | None
    watchdog: float | None
    preload: Sequence[str]
    strip_escapes: bool | None
    containment: Mode | None
    sockets: Sockets
