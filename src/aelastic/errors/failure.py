"""What is known about one failed rank."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NOT_AVAILABLE = "<N/A>"


@dataclass(frozen=True, slots=True)
class ProcessFailure:
    """One rank that ended badly. Building it reads no file and never raises on odd content.

    The first seven fields are torch's. ``message`` is what the error file said: a text, or the mapping
    ``{"message": ..., "extraInfo": {"py_callstack": ..., "timestamp": ...}}``. Left empty, it tells the exit code.

    Ours:
        reason: one sentence for people: how the rank ended.
        stderr_tail: the last lines of its standard error, when that stream was captured; else empty.
        collateral: aelastic had signalled this rank before it ended, so it is not a cause.
        exited_at: when the exit was noticed, in seconds since the epoch, ordered as the exits were.
        failed_at: when it failed: its exit, or before that its missed watchdog. Failures are ordered by it.
        lifetime: seconds from start to exit.
    """

    local_rank: int
    pid: int
    exitcode: int
    error_file: str = NOT_AVAILABLE
    error_file_data: dict[str, Any] = field(default_factory=lambda: {"message": "<NONE>"})
    message: str | dict[str, Any] = ""
    timestamp: int = 0
    reason: str = ""
    stderr_tail: str = ""
    collateral: bool = False
    exited_at: float = 0.0
    lifetime: float = 0.0
    failed_at: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "failed_at", self.failed_at or self.exited_at)
        object.__setattr__(self, "reason", self.reason or describe_exit(self.exitcode))
        object.__setattr__(self, "message", self.message or self._describe_exit_at_length())

    def signal_name(self) -> str:
        """``"SIGKILL"`` and the like for a negative exit code, else ``"<N/A>"``."""
        return _signal_name(-self.exitcode) if self.exitcode < 0 else NOT_AVAILABLE

    def timestamp_isoformat(self) -> str:
        """``timestamp`` as local time, ``YYYY-MM-DD_HH:MM:SS``; ``"<N/A>"`` for what is no date (a file said so)."""
        try:
            return datetime.fromtimestamp(self.timestamp).isoformat(sep="_")
        except (ValueError, OverflowError, OSError):
            return NOT_AVAILABLE

    def text(self) -> str:
        """The traceback that its error file has, else its message."""
        if isinstance(self.message, str):
            return self.message
        info = self.message.get("extraInfo")
        candidates = (info.get("py_callstack") if isinstance(info, dict) else None, self.message.get("message"))
        return next((text for text in candidates if isinstance(text, str) and text), NOT_AVAILABLE)

    def _describe_exit_at_length(self) -> str:
        if self.exitcode < 0:
            return f"Signal {-self.exitcode} ({self.signal_name()}) received by PID {self.pid}"
        return (
            f"Exited with code {self.exitcode} and wrote no error file. "
            "Decorate the entry point with aelastic.errors.record to see its traceback here."
        )


def describe_exit(exitcode: int) -> str:
    """``"killed by SIGKILL"`` or ``"exited with code 1"``."""
    return f"killed by {_signal_name(-exitcode)}" if exitcode < 0 else f"exited with code {exitcode}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
