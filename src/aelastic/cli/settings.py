"""What was asked of ``aelastic run``: one field per option, with torchrun's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

    from aelastic.conduct.functions import StartMethod
    from aelastic.std import Std


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are in seconds. Ports are None where any will do."""

    program: str
    args: tuple[str, ...]
    module: bool
    no_python: bool
    run_path: bool
    start_method: StartMethod
    nproc_per_node: int | str
    max_restarts: int
    numa_binding: str | None
    virtual_local_rank: bool
    role: str
    log_dir: str | None
    redirects: Std | Mapping[int, Std]
    tee: Std | Mapping[int, Std]
    local_ranks_filter: frozenset[int] | None
    duplicate_stdout_filters: tuple[str, ...]
    duplicate_stderr_filters: tuple[str, ...]
    logs_specs: str | None
    plain: bool
    json: bool
    signals_to_handle: tuple[signal.Signals, ...]
    signals_to_forward: tuple[signal.Signals, ...]
    shutdown_timeout: float
    standalone: bool
    rdzv_id: str | None
    rdzv_backend: str
    rdzv_endpoint: tuple[str, int | None] | None
    master_addr: str | None
    master_port: int | None
    local_addr: str | None

    @property
    def keeps_logs(self) -> bool:
        """Whether somebody has asked for log files."""
        return bool(self.log_dir or self.logs_specs or self.redirects or self.tee)
