"""Which ranks are ready, and which of them hang. Pure; time is an argument.

Facts go in (``started``, ``heard``, ``probed``, ``ended``, ``deadline``), actions come out (``Ready``, ``Hang``). A
watchdog counts only from readiness on; whoever hangs, hangs for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, get_args

from aelastic.errors.base import InvalidArgumentError, InvalidRanksError
from aelastic.readiness import Notify, Readiness

if TYPE_CHECKING:
    from aelastic.decide.notices import Notice


@dataclass(frozen=True, slots=True)
class HealthPlan:
    """What is expected of the ranks. Times are in seconds; None: for ever, no watchdog."""

    readiness: Mapping[int, Readiness] = field(default_factory=dict)
    ready_timeout: float | None = None
    watchdog: float | None = None

    def is_heard(self, rank: int) -> bool:
        """Whether the rank has somebody to tell things to."""
        return self.watchdog is not None or rank in self.readiness


def plan_health(
    readiness: Readiness | Mapping[int, Readiness] | None,
    ready_timeout: float | None,
    watchdog: float | None,
    nprocs: int,
) -> HealthPlan:
    """The plan for ``nprocs`` ranks. Raises ``InvalidArgumentError`` and ``InvalidRanksError``."""
    by_rank = dict(readiness) if isinstance(readiness, Mapping) else {}
    if readiness is not None and not isinstance(readiness, Mapping):
        by_rank = dict.fromkeys(range(nprocs), readiness)
    if strangers := sorted(set(by_rank) - set(range(nprocs)), key=str):
        raise InvalidRanksError(f"readiness: expected local ranks from 0 to {nprocs - 1}; unexpected: {strangers}")
    for rank, word in by_rank.items():
        if not isinstance(word, get_args(Readiness)):
            raise InvalidArgumentError(
                f"readiness[{rank}]: expected Notify() or one of the probes such as TcpProbe(8000), got {word!r}"
            )
    _check_seconds("ready_timeout", ready_timeout)
    _check_seconds("watchdog", watchdog)
    if ready_timeout is not None and not by_rank and watchdog is None:
        raise InvalidArgumentError("ready_timeout: there is nothing to wait for; say with readiness= what ready means")
    return HealthPlan(by_rank, ready_timeout, watchdog)


@dataclass(frozen=True, slots=True)
class Ready:
    """``rank`` has become ready."""

    rank: int


@dataclass(frozen=True, slots=True)
class Hang:
    """``rank`` hangs: it did not do in time what it should have done."""

    rank: int
    reason: str


Action: TypeAlias = Ready | Hang


class Phase(Enum):
    """Where a rank is on its way."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    HUNG = "hung"
    ENDED = "ended"


@dataclass(slots=True)
class _Rank:
    """``due``: when it hangs, ``span`` seconds after ``since``; ``excused``: it was given that time once more."""

    phase: Phase = Phase.PENDING
    was_ready: bool = False
    interval: float | None = None
    since: float = 0.0
    span: float | None = None
    excused: bool = False

    @property
    def due(self) -> float | None:
        return None if self.span is None else self.since + self.span

    def wait(self, since: float, span: float | None) -> None:
        self.since, self.span, self.excused = since, span, False

    def rest(self, phase: Phase) -> None:
        self.phase, self.span = phase, None


class Health:
    """Decides for the ``ranks`` of a run who is ready and who hangs.

    A rank without any readiness is ready when it is started; with a watchdog, when it first gives a sign of life.
    """

    def __init__(self, plan: HealthPlan, ranks: Iterable[int]) -> None:
        self._plan = plan
        self._ranks = {rank: _Rank(interval=plan.watchdog) for rank in ranks}

    def started(self, rank: int, at: float) -> None:
        """The process of ``rank`` exists."""
        one = self._ranks[rank]
        one.phase = Phase.STARTING
        if self._plan.is_heard(rank):
            one.wait(at, self._plan.ready_timeout)
        else:
            one.phase, one.was_ready = Phase.READY, True

    def heard(self, rank: int, notice: Notice, at: float) -> list[Action]:
        """The rank has said something."""
        one = self._ranks[rank]
        if notice.watchdog is not None and one.interval is not None:
            one.interval = notice.watchdog
        actions = self._become_ready(rank, at) if self._says_ready(rank, notice) else []
        if one.phase is Phase.READY and (notice.beat or notice.watchdog is not None):
            one.wait(at, one.interval)
        if notice.stopping and one.phase in (Phase.STARTING, Phase.READY):
            one.rest(Phase.STOPPING)
        if notice.triggered:
            actions += self._hang(rank, "said that it hangs (WATCHDOG=trigger)")
        return actions

    def probed(self, rank: int, at: float) -> list[Action]:
        """The probe of ``rank`` has succeeded."""
        return self._become_ready(rank, at)

    def ended(self, rank: int) -> None:
        """The process of ``rank`` is gone. Its last words may still be on their way to the probe."""
        one = self._ranks[rank]
        one.rest(Phase.HUNG if one.phase is Phase.HUNG else Phase.ENDED)

    def deadline(self, at: float) -> list[Action]:
        """Time has come to ``at``."""
        return [action for rank in self.due(at) for action in self._expire(rank, self._ranks[rank], at)]

    def due(self, at: float) -> list[int]:
        """The ranks that hang if they have not said anything by now."""
        return [rank for rank, one in self._ranks.items() if one.due is not None and at >= one.due]

    def due_at(self, rank: int) -> float | None:
        """When ``rank`` hangs, if it says nothing until then."""
        return self._ranks[rank].due

    @property
    def next_deadline(self) -> float | None:
        """When ``deadline`` must be called at the latest."""
        return min((one.due for one in self._ranks.values() if one.due is not None), default=None)

    def phase(self, rank: int) -> Phase:
        """Where ``rank`` is now."""
        return self._ranks[rank].phase

    def was_ready(self, rank: int) -> bool:
        """Whether ``rank`` has become ready, whatever became of it since."""
        return self._ranks[rank].was_ready

    def _says_ready(self, rank: int, notice: Notice) -> bool:
        readiness = self._plan.readiness.get(rank)
        if readiness is None:
            return notice.ready or notice.beat
        return notice.ready and isinstance(readiness, Notify)

    def _become_ready(self, rank: int, at: float) -> list[Action]:
        one = self._ranks[rank]
        one.was_ready = one.was_ready or one.phase in (Phase.STARTING, Phase.ENDED)
        if one.phase is not Phase.STARTING:
            return []
        one.phase = Phase.READY
        one.wait(at, one.interval)
        return [Ready(rank)]

    def _expire(self, rank: int, one: _Rank, at: float) -> list[Action]:
        late = at - one.since - (one.span or 0.0)
        if late > (one.span or 0.0) / 2 and not one.excused:
            # We ourselves were stopped or held up, and perhaps the rank with us: it gets its time once more.
            one.since, one.excused = at, True
            return []
        if one.phase is Phase.STARTING:
            return self._hang(rank, f"was not ready within {one.span:g} s")
        return self._hang(rank, f"missed its watchdog: no heartbeat for {at - one.since:.1f} s")

    def _hang(self, rank: int, reason: str) -> list[Action]:
        one = self._ranks[rank]
        if one.phase not in (Phase.STARTING, Phase.READY, Phase.STOPPING):
            return []
        one.rest(Phase.HUNG)
        return [Hang(rank, reason)]


def _check_seconds(what: str, seconds: float | None) -> None:
    if seconds is not None and (not isinstance(seconds, int | float) or not 0 < seconds < float("inf")):
        raise InvalidArgumentError(f"{what}: expected seconds, more than 0, or None, got {seconds!r}")
