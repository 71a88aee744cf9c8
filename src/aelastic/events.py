"""What can be observed of a run while it lasts. Times are in seconds since the epoch.

Every event is a sentence for people, ``str(event)``, and a mapping for machines, ``event.to_dict()``.
"""

from __future__ import annotations

import re
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
    WAITING = "waiting"  # it has ended, and a supervisor will start it again after its back-off


@dataclass(frozen=True, slots=True)
class RankSnapshot:
    """One rank at one moment. ``last_line`` is the last captured line of either stream, ``""`` without one.

    ``attempt`` counts the starts of the rank by a supervisor, from 0.
    """

    rank: int
    state: RankState
    pid: int | None
    exitcode: int | None
    started_at: float | None
    ended_at: float | None
    last_line: str
    attempt: int = 0


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


class _Mapped:
    """An event as a mapping."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields, with ``"event"`` (``"rank_started"`` and the like) in front. JSON can hold every value."""
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return {"event": name} | {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RankStarted(_Mapped):
    """A rank's process exists. ``attempt`` counts the starts of the rank by a supervisor, from 0."""

    rank: int
    pid: int
    time: float
    attempt: int = 0

    def __str__(self) -> str:
        return f"rank {self.rank} started with pid {self.pid}{_again(self.attempt)}"


@dataclass(frozen=True, slots=True)
class RankExited(_Mapped):
    """A rank's process is gone. ``collateral``: aelastic had signalled it before."""

    rank: int
    pid: int
    exitcode: int
    collateral: bool
    time: float
    attempt: int = 0

    def __str__(self) -> str:
        how = f"was killed by signal {-self.exitcode}" if self.exitcode < 0 else f"exited with code {self.exitcode}"
        return f"rank {self.rank} {how}{' after it was told to stop' if self.collateral else ''}"


@dataclass(frozen=True, slots=True)
class RankRestarting(_Mapped):
    """A supervisor will start the rank again, for the ``attempt``-th time, when ``delay`` seconds are over.

    It may be later: what is there must have gone first, and with ``rest_for_one`` the ranks before it must run.
    """

    rank: int
    attempt: int
    delay: float
    reason: str
    time: float

    def __str__(self) -> str:
        when = f"in {self.delay:.3g} s" if self.delay else "at once"
        return f"rank {self.rank} restarts {when} (attempt {self.attempt}): {self.reason}"


@dataclass(frozen=True, slots=True)
class GaveUp(_Mapped):
    """A supervisor restarts nothing any more and stops every rank. ``rank``: the one that it is about, if it is one."""

    reason: str
    time: float
    rank: int | None = None

    def __str__(self) -> str:
        return f"gave up: {self.reason}"


@dataclass(frozen=True, slots=True)
class RunFinished(_Mapped):
    """Every rank is gone and every log line is written."""

    result: RunProcsResult
    time: float

    def __str__(self) -> str:
        first = self.result.first_failure
        if first is not None:
            return f"run failed: rank {first.local_rank} {first.reason}"
        return "run was stopped" if self.result.is_failed() else "run succeeded"

    def to_dict(self) -> dict[str, Any]:
        """As of every event, with the outline of the result in its place."""
        result, first = self.result, self.result.first_failure
        return {
            "event": "run_finished",
            "time": self.time,
            "name": result.name,
            "failed": result.is_failed(),
            "exitcodes": {str(rank): exitcode for rank, exitcode in result.exitcodes.items()},
            "first_failure": None if first is None else {"rank": first.local_rank, "reason": first.reason},
            "abandoned": {str(rank): pid for rank, pid in result.abandoned.items()},
            "restarts": result.restarts,
            "gave_up": result.gave_up,
        }


Event: TypeAlias = RankStarted | RankExited | RankRestarting | GaveUp | RunFinished


def _again(attempt: int) -> str:
    return f" (attempt {attempt})" if attempt else ""
