"""What can be observed of a run while it lasts. Times are in seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from aelastic.results import RunProcsResult
    from aelastic.std import Std


class RankState(Enum):
    """Where a rank is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class RankSnapshot:
    """One rank at one moment. ``last_line`` is the last captured line of either stream, ``""`` without one."""

    rank: int
    state: RankState
    pid: int | None
    exitcode: int | None
    started_at: float | None
    ended_at: float | None
    last_line: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a rank, without its line end; bytes that are not UTF-8 are replaced.

    ``partial`` is True when the line is longer than one piece and goes on in the next one of this rank and stream.
    """

    rank: int
    stream: Std
    text: str
    time: float
    partial: bool = False


@dataclass(frozen=True, slots=True)
class RankStarted:
    """A rank's process exists."""

    rank: int
    pid: int
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank} started with pid {self.pid}"


@dataclass(frozen=True, slots=True)
class RankExited:
    """A rank's process is gone. ``collateral``: aelastic had signalled it before."""

    rank: int
    pid: int
    exitcode: int
    collateral: bool
    time: float

    def __str__(self) -> str:
        how = f"was killed by signal {-self.exitcode}" if self.exitcode < 0 else f"exited with code {self.exitcode}"
        return f"rank {self.rank} {how}{' after it was told to stop' if self.collateral else ''}"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every rank is gone and every log line is written."""

    result: RunProcsResult
    time: float

    def __str__(self) -> str:
        first = self.result.first_failure
        if first is not None:
            return f"run failed: rank {first.local_rank} {first.reason}"
        return "run was stopped" if self.result.is_failed() else "run succeeded"


Event: TypeAlias = RankStarted | RankExited | RunFinished
