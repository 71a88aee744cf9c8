"""aelastic for scripts: the same ranks, the same names, and calls that block, as in torch.

``from aelastic.sync import PContext, start_processes`` takes the place of the same line with
``torch.distributed.elastic.multiprocessing``; ``LocalElasticAgent`` runs on it. In an async application, use
``aelastic`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from aelastic.errors import ProcessFailure, SignalException
    from aelastic.logs.specs import DefaultLogsSpecs, LogsDest, LogsSpecs
    from aelastic.results import RunProcsResult
    from aelastic.std import Std, to_map
    from aelastic.sync.context import MultiprocessContext, PContext, SubprocessContext
    from aelastic.sync.launch import start_processes

_NAMES = {
    "aelastic.errors": ("ProcessFailure", "SignalException"),
    "aelastic.logs.specs": ("DefaultLogsSpecs", "LogsDest", "LogsSpecs"),
    "aelastic.results": ("RunProcsResult",),
    "aelastic.std": ("Std", "to_map"),
    "aelastic.sync.context": ("MultiprocessContext", "PContext", "SubprocessContext"),
    "aelastic.sync.launch": ("start_processes",),
}

__all__ = [
    "DefaultLogsSpecs",
    "LogsDest",
    "LogsSpecs",
    "MultiprocessContext",
    "PContext",
    "ProcessFailure",
    "RunProcsResult",
    "SignalException",
    "Std",
    "SubprocessContext",
    "start_processes",
    "to_map",
]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, _NAMES)
