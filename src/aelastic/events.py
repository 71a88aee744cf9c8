"""What can be observed of a run while it lasts. Times are in seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

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
    """One rank at one moment. ``last_line`` is the last captured line of either stream, ``""`` without one.

    ``ready``: it runs, and has shown that it is ready (see ``readiness``; without one, it is ready as soon as it runs).
    ``status`` and ``progress`` are the last that it has told, ``""`` and None when it told nothing.
    """

    rank: int
    state: RankState
    pid: int | None
    exitcode: int | None
    started_at: float | None
    ended_at: float | None
    last_line: str
    ready: bool = False
    status: str = ""
    progress: RankProgress | None = None


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


class _Happening:
    """What all events can do."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The event for machines: its name as ``event``, and its fields. JSON can hold it."""
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]  # every one is a dataclass
        return {"event": type(self).__name__, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class RankStarted(_Happening):
    """A rank's process exists."""

    rank: int
    pid: int
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank} started with pid {self.pid}"


@dataclass(frozen=True, slots=True)
class RankReady(_Happening):
    """A rank has shown that it is ready. Only where ``readiness`` or ``watchdog`` says how."""

    rank: int
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank} is ready"


@dataclass(frozen=True, slots=True)
class RankStatus(_Happening):
    """A rank says what it does. Of a rank's statuses that nobody has looked at yet, only the latest is kept."""

    rank: int
    status: str
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank}: {self.status}"


@dataclass(frozen=True, slots=True)
class RankProgress(_Happening):
    """A rank says how far it is: ``done`` of ``total`` steps, None when nobody knows. Kept as ``RankStatus`` is."""

    rank: int
    done: float
    total: float | None
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank}: {self.done:.15g}" + ("" if self.total is None else f" of {self.total:.15g}")


@dataclass(frozen=True, slots=True)
class RankHung(_Happening):
    """A rank did not do in time what it should have done. It is asked for its stacks, then told to end: a failure."""

    rank: int
    reason: str
    time: float

    def __str__(self) -> str:
        return f"rank {self.rank} {self.reason}"


@dataclass(frozen=True, slots=True)
class RankExited(_Happening):
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
class RunFinished(_Happening):
    """Every rank is gone and every log line is written."""

    result: RunProcsResult
    time: float

    def __str__(self) -> str:
        first = self.result.first_failure
        if first is not None:
            return f"run failed: rank {first.local_rank} {first.reason}"
        return "run was stopped" if self.result.is_failed() else "run succeeded"

    def to_dict(self) -> dict[str, Any]:
        """The event for machines. Of the result it has what JSON can hold: no return values."""
        first = self.result.first_failure
        return {
            "event": type(self).__name__,
            "failed": self.result.is_failed(),
            "first_failure": first and {"rank": first.local_rank, "exitcode": first.exitcode, "reason": first.reason},
            "exitcodes": self.result.exitcodes,
            "abandoned": self.result.abandoned,
            "time": self.time,
        }


Event: TypeAlias = RankStarted | RankReady | RankStatus | RankProgress | RankHung | RankExited | RunFinished
