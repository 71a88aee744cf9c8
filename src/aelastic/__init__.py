"""aelastic: run n ranks of a program from asyncio, and never lose one, a log line, or the reason of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from aelastic.conduct.context import MultiprocessContext, PContext, SubprocessContext
    from aelastic.conduct.event_log import log_event, log_events
    from aelastic.conduct.launch import start_processes
    from aelastic.conduct.signals import handle_signals
    from aelastic.decide.restarts import RestartPolicy
    from aelastic.elastic.supervisor import Supervisor
    from aelastic.errors import (
        AelasticError,
        ChildFailedError,
        ErrorHandler,
        InvalidArgumentError,
        InvalidRanksError,
        NotRunningError,
        ProcessFailure,
        SignalException,
        get_error_handler,
        record,
    )
    from aelastic.events import (
        Event,
        GaveUp,
        LogLine,
        RankExited,
        RankRestarting,
        RankSnapshot,
        RankStarted,
        RankState,
        RunFinished,
    )
    from aelastic.logs.specs import DefaultLogsSpecs, LogsDest, LogsSpecs
    from aelastic.logs.subscription import Subscription
    from aelastic.logs.tail import TailLog
    from aelastic.numa import AffinityMode, NumaOptions
    from aelastic.results import Attempt, RunProcsResult
    from aelastic.std import Std, to_map
    from aelastic.worker.redirects import redirect, redirect_stderr, redirect_stdout

__version__ = "0.1.0"

_NAMES = {
    "aelastic.conduct.context": ("MultiprocessContext", "PContext", "SubprocessContext"),
    "aelastic.conduct.event_log": ("log_event", "log_events"),
    "aelastic.conduct.launch": ("start_processes",),
    "aelastic.conduct.signals": ("handle_signals",),
    "aelastic.decide.restarts": ("RestartPolicy",),
    "aelastic.elastic.supervisor": ("Supervisor",),
    "aelastic.errors": (
        "AelasticError",
        "ChildFailedError",
        "ErrorHandler",
        "InvalidArgumentError",
        "InvalidRanksError",
        "NotRunningError",
        "ProcessFailure",
        "SignalException",
        "get_error_handler",
        "record",
    ),
    "aelastic.events": (
        "Event",
        "GaveUp",
        "LogLine",
        "RankExited",
        "RankRestarting",
        "RankSnapshot",
        "RankStarted",
        "RankState",
        "RunFinished",
    ),
    "aelastic.logs.specs": ("DefaultLogsSpecs", "LogsDest", "LogsSpecs"),
    "aelastic.logs.subscription": ("Subscription",),
    "aelastic.logs.tail": ("TailLog",),
    "aelastic.numa": ("AffinityMode", "NumaOptions"),
    "aelastic.results": ("Attempt", "RunProcsResult"),
    "aelastic.std": ("Std", "to_map"),
    "aelastic.worker.redirects": ("redirect", "redirect_stderr", "redirect_stdout"),
}

__all__ = [
    "AelasticError",
    "AffinityMode",
    "Attempt",
    "ChildFailedError",
    "DefaultLogsSpecs",
    "ErrorHandler",
    "Event",
    "GaveUp",
    "InvalidArgumentError",
    "InvalidRanksError",
    "LogLine",
    "LogsDest",
    "LogsSpecs",
    "MultiprocessContext",
    "NotRunningError",
    "NumaOptions",
    "PContext",
    "ProcessFailure",
    "RankExited",
    "RankRestarting",
    "RankSnapshot",
    "RankStarted",
    "RankState",
    "RestartPolicy",
    "RunFinished",
    "RunProcsResult",
    "SignalException",
    "Std",
    "SubprocessContext",
    "Subscription",
    "Supervisor",
    "TailLog",
    "get_error_handler",
    "handle_signals",
    "log_event",
    "log_events",
    "record",
    "redirect",
    "redirect_stderr",
    "redirect_stdout",
    "start_processes",
    "to_map",
]

if not TYPE_CHECKING:  # to a type checker, a name that is not in the list above is an error
    __getattr__ = lazily(__name__, _NAMES)
