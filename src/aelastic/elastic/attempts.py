"""What came of the attempts of a supervisor, and what they amount to in the end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from aelastic.decide.restarts import End, Outcome
from aelastic.errors.base import NotRunningError
from aelastic.errors.failure import ProcessFailure
from aelastic.events import RankState
from aelastic.results import Attempt, RunProcsResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aelastic.errors.not_ready import NotReadyError
    from aelastic.events import RankSnapshot

REMEMBERED = 100
NOT_FOUND = 127  # a shell's exit code for what it could not start


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over. ``snapshots``: how its ranks were last seen; ``unready``: which never were ready."""

    unit: int
    number: int
    ranks: tuple[int, ...]
    started_at: float
    ended_at: float
    started: bool
    result: RunProcsResult
    snapshots: Mapping[int, RankSnapshot] = field(default_factory=dict)
    unready: Mapping[int, NotReadyError] = field(default_factory=dict)


def not_started(ranks: Iterable[int], error: BaseException, at: float) -> RunProcsResult:
    """The result of an attempt that ``error`` has prevented."""
    text = f"could not be started: {error}"
    return RunProcsResult(
        failures={
            rank: ProcessFailure(rank, 0, NOT_FOUND, message=text, timestamp=int(at), reason=text, exited_at=at)
            for rank in ranks
        }
    )


def end_of(result: RunProcsResult, ran: float) -> End:
    """How an attempt with this ``result``, over after ``ran`` seconds, has ended."""
    if result.abandoned:
        rank, pid = next(iter(result.abandoned.items()))
        return End(Outcome.ABANDONED, ran, f"rank {rank} (pid {pid}) did not end even after SIGKILL")
    cause = result.first_failure
    if cause is not None:
        return End(Outcome.FAILED, cause.lifetime, f"rank {cause.local_rank} {cause.reason.partition(chr(10))[0]}")
    if result.failures:
        return End(Outcome.STOPPED, ran, "it was told to stop")
    ranks = [*result.exitcodes]
    who = f"rank {ranks[0]}" if len(ranks) == 1 else "every rank"
    return End(Outcome.SUCCEEDED, ran, f"{who} exited with code 0")


def end_of_start(error: Exception, seen: Iterable[RankSnapshot]) -> End:
    """How an attempt has ended that ``error`` has prevented, or a request to stop; its ranks were last ``seen`` so."""
    for rank in seen:
        if rank.state is RankState.ABANDONED:
            return End(Outcome.ABANDONED, 0.0, f"rank {rank.rank} (pid {rank.pid}) did not end even after SIGKILL")
    stopped = isinstance(error, NotRunningError)
    return End(Outcome.STOPPED if stopped else Outcome.NOT_STARTED, 0.0, f"could not be started: {error}")


class Attempts:
    """Remembers the last attempts, and the last one of each unit."""

    def __init__(self) -> None:
        self.last: dict[int, Ended] = {}
        self._attempts: deque[Attempt] = deque(maxlen=REMEMBERED)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """The last attempts, in the order of their ends."""
        return tuple(self._attempts)

    def add(self, ended: Ended, *, counts: bool) -> None:
        """An attempt is over. ``counts``: it was its unit's, not that of a successor or a predecessor."""
        if counts:
            self.last[ended.unit] = ended
        result = ended.result
        self._attempts.append(
            Attempt(
                number=ended.number,
                ranks=ended.ranks,
                started_at=ended.started_at,
                ended_at=ended.ended_at,
                started=ended.started,
                exitcodes=result.exitcodes,
                failures=result.failures,
                stdouts=result.stdouts,
                stderrs=result.stderrs,
                lost_log_bytes=result.lost_log_bytes,
            )
        )

    def blame(self, unit: int, reason: str) -> None:
        """Nothing of the last attempt of ``unit`` has failed, and yet it must not have ended: now it has failed."""
        ended = self.last[unit]
        if ended.result.first_failure is None:
            result = replace(ended.result, failures=_causes(ended, reason), return_values={})
            self.last[unit] = replace(ended, result=result)

    def result(self, name: str, units: Iterable[int], *, restarts: int, gave_up: str) -> RunProcsResult:
        """The last results of ``units`` as one."""
        last = [self.last[unit].result for unit in units if unit in self.last]
        tables = {one.name for one in fields(RunProcsResult) if isinstance(getattr(RunProcsResult(), one.name), dict)}
        merged = {table: {key: value for one in last for key, value in getattr(one, table).items()} for table in tables}
        return RunProcsResult(**merged, name=name, attempts=self.history, restarts=restarts, gave_up=gave_up)


def _causes(ended: Ended, reason: str) -> dict[int, ProcessFailure]:
    """Failures that explain why this end is one too many: of what was abandoned, else of every rank."""
    known = ended.result.failures
    if ended.result.abandoned:
        return known | {rank: replace(known[rank], collateral=False) for rank in ended.result.abandoned}
    return {rank: _too_often(rank, seen, reason, ended.ended_at) for rank, seen in ended.snapshots.items()}


def _too_often(rank: int, seen: RankSnapshot, reason: str, at: float) -> ProcessFailure:
    """The failure of a rank that has ended well."""
    return ProcessFailure(
        local_rank=rank,
        pid=seen.pid or 0,
        exitcode=seen.exitcode or 0,
        message=reason,
        timestamp=int(at),
        reason="exited with code 0 once too often",
        exited_at=at,
    )
