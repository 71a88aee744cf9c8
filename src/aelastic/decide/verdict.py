"""From what was seen of a failed rank to its ``ProcessFailure``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from aelastic.errors.failure import NOT_AVAILABLE, ProcessFailure
from aelastic.errors.report import Report, Unreadable


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a failed rank. Times are in seconds since the epoch; ``exitcode`` None: it never ended.

    ``problem``: what is wrong with a rank that exited with 0, and the ``traceback`` of the error that showed it; or why
    a rank had failed, at ``failed_at``, before it ended.
    """

    rank: int
    pid: int
    exitcode: int | None
    collateral: bool
    started_at: float
    ended_at: float
    error_file: str
    report: Report | Unreadable | None
    stderr_tail: str
    problem: str = ""
    traceback: str = ""
    failed_at: float = 0.0


def failure_of(seen: Evidence) -> ProcessFailure:
    """The failure that ``seen`` amounts to. The message is the error file's where there is a readable one."""
    report = seen.report
    readable = report if isinstance(report, Report) else None
    return ProcessFailure(
        local_rank=seen.rank,
        pid=seen.pid,
        exitcode=-9 if seen.exitcode is None else seen.exitcode,
        error_file=seen.error_file if report is not None else NOT_AVAILABLE,
        error_file_data=readable.data if readable else {"message": "<NONE>"},
        message=readable.message if readable else seen.traceback or seen.problem,
        timestamp=readable.timestamp if readable and readable.timestamp is not None else int(seen.ended_at),
        stderr_tail=seen.stderr_tail,
        collateral=seen.collateral,
        exited_at=seen.ended_at,
        lifetime=seen.ended_at - seen.started_at,
        failed_at=seen.failed_at,
        reason=_reason(seen),
    )


def _reason(seen: Evidence) -> str:
    if seen.exitcode is None:
        return (
            f"{seen.problem}; it did not end even after SIGKILL" if seen.problem else "did not end even after SIGKILL"
        )
    reason = seen.problem or ProcessFailure(seen.rank, seen.pid, seen.exitcode).reason
    if seen.collateral:
        reason += " after it was told to stop"
    if isinstance(seen.report, Unreadable):
        return f"{reason}; its error file could not be used: {seen.report.problem}"
    message = seen.report.message if seen.report else None
    text = message.get("message") if isinstance(message, dict) else message
    return f"{reason}: {text}" if isinstance(text, str) and text else reason
