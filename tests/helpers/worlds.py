"""A world without processes and without a clock of its own, in which a ``Supervision`` acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aelastic.decide.restarts import End, Outcome, RestartPolicy
from aelastic.decide.supervision import Action, Finish, GiveUp, Restarting, Start, Stop, Supervision

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.decide.supervision import Strategy


@dataclass(slots=True)
class Life:
    """An instance in the world. ``running`` and ``told``: it is complete, and it was told to stop.

    ``heir``: it was started beside another one, whose place it has not taken yet.
    """

    unit: int
    number: int
    begun_at: float
    running: bool = False
    told: bool = False
    heir: bool = False


@dataclass
class World:
    """Does what a conductor does, and complains when that is wrong: two instances, a start after the end was asked.

    Only a replacement may bring a second one, beside one that runs or is about to.
    """

    units: int
    strategy: Strategy
    policy: RestartPolicy
    chance: Callable[[], float] = lambda: 0.5
    now: float = 0.0
    present: dict[tuple[int, int], Life] = field(default_factory=dict)
    starts: list[tuple[float, int, int]] = field(default_factory=list)
    restarts: list[Restarting] = field(default_factory=list)
    gave_up: list[GiveUp] = field(default_factory=list)
    finished: bool = False
    closed: bool = False
    replacing: int | None = None

    def __post_init__(self) -> None:
        self.supervision = Supervision(self.units, self.strategy, self.policy, self.chance)
        self.perform(self.supervision.begin(self.now))

    # What happens

    def complete(self, life: Life) -> None:
        """All ranks of the instance have started."""
        life.running = True
        self.perform(self.supervision.started(life.unit, life.number, self.now))

    def ready(self, life: Life) -> None:
        """All of them are ready."""
        takes_over, life.running = life.heir and not life.told, True
        life.heir = life.heir and not takes_over
        self.perform(self.supervision.ready(life.unit, life.number, self.now))
        if takes_over:
            assert self.supervision.number(life.unit) == life.number
            assert all(one.told for one in self.of(life.unit) if one is not life), "two that serve"

    def end(self, life: Life, outcome: Outcome) -> None:
        """The instance has ended."""
        del self.present[life.unit, life.number]
        end = End(outcome, self.now - life.begun_at, f"unit {life.unit} {outcome.value}")
        self.perform(self.supervision.ended(life.unit, life.number, self.now, end))

    def replace(self, unit: int) -> None:
        """Somebody asks for a successor."""
        before = {life.number for life in self.of(unit)}
        self.replacing = unit
        self.perform(self.supervision.replace_asked(unit, self.now))
        self.replacing = None
        assert len({life.number for life in self.of(unit)} - before) <= 1

    def of(self, unit: int) -> list[Life]:
        """Whatever is there of ``unit``."""
        return [life for life in self.present.values() if life.unit == unit]

    def close(self, *, at_once: bool = False) -> None:
        """Somebody asks for the end."""
        self.closed = True
        self.perform(self.supervision.close_asked(self.now, at_once=at_once))

    def wait(self, seconds: float) -> None:
        """Time passes; the conductor wakes up whenever it has to."""
        until = self.now + seconds
        while (due := self.supervision.next_deadline) is not None and due <= until:
            self.now = max(self.now, due)
            before = self.supervision.next_deadline
            self.perform(self.supervision.deadline(self.now))
            assert self.supervision.next_deadline != before, "the conductor would spin"
        self.now = until
        self.perform(self.supervision.deadline(self.now))

    def wait_until_due(self) -> None:
        """Time passes until the supervision wants to be asked."""
        due = self.supervision.next_deadline
        assert due is not None
        self.wait(max(0.0, due - self.now))

    # What is done about it

    def perform(self, actions: list[Action]) -> None:
        """Perform ``actions``, and watch."""
        for action in actions:
            assert not self.finished, f"{action} after the finish"
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Stop):
                self.present[action.unit, action.number].told = True
            elif isinstance(action, Restarting):
                self.restarts.append(action)
            elif isinstance(action, GiveUp):
                self.gave_up.append(action)
            elif isinstance(action, Finish):
                assert not self.present, "finished while something is there"
                self.finished = True

    def _start(self, action: Start) -> None:
        heir = action.unit == self.replacing
        assert [life.told for life in self.of(action.unit)] == ([False] if heir else []), f"too many of {action.unit}"
        assert not self.closed, "a start after the end was asked for"
        assert not self.gave_up, "a start after giving up"
        if self.strategy == "rest_for_one":
            present = self.present.values()
            assert all(life.running and not life.told for life in present if life.unit < action.unit)
            assert not any(life.unit > action.unit for life in present)
        assert action.number not in [number for _, unit, number in self.starts if unit == action.unit]
        self.present[action.unit, action.number] = Life(action.unit, action.number, self.now, heir=heir)
        self.starts.append((self.now, action.unit, action.number))
