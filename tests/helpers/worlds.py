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
    """An instance in the world. ``running`` and ``told``: it is complete, and it was told to stop."""

    unit: int
    number: int
    begun_at: float
    running: bool = False
    told: bool = False


@dataclass
class World:
    """Does what a conductor does, and complains when that is wrong: two instances, a start after the end was asked."""

    units: int
    strategy: Strategy
    policy: RestartPolicy
    chance: Callable[[], float] = lambda: 0.5
    now: float = 0.0
    present: dict[int, Life] = field(default_factory=dict)
    starts: list[tuple[float, int, int]] = field(default_factory=list)
    restarts: list[Restarting] = field(default_factory=list)
    gave_up: list[GiveUp] = field(default_factory=list)
    finished: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        self.supervision = Supervision(self.units, self.strategy, self.policy, self.chance)
        self.perform(self.supervision.begin(self.now))

    # What happens

    def complete(self, unit: int) -> None:
        """All ranks of ``unit`` have started."""
        life = self.present[unit]
        life.running = True
        self.perform(self.supervision.started(unit, life.number, self.now))

    def end(self, unit: int, outcome: Outcome) -> None:
        """``unit`` has ended."""
        life = self.present.pop(unit)
        end = End(outcome, self.now - life.begun_at, f"unit {unit} {outcome.value}")
        self.perform(self.supervision.ended(unit, life.number, self.now, end))

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
                life = self.present[action.unit]
                assert life.number == action.number
                life.told = True
            elif isinstance(action, Restarting):
                self.restarts.append(action)
            elif isinstance(action, GiveUp):
                self.gave_up.append(action)
            elif isinstance(action, Finish):
                assert not self.present, "finished while something is there"
                self.finished = True

    def _start(self, action: Start) -> None:
        assert action.unit not in self.present, f"two instances of unit {action.unit}"
        assert not self.closed, "a start after the end was asked for"
        assert not self.gave_up, "a start after giving up"
        if self.strategy == "rest_for_one":
            assert all(life.running and not life.told for unit, life in self.present.items() if unit < action.unit)
            assert not any(unit > action.unit for unit in self.present)
        self.present[action.unit] = Life(action.unit, action.number, self.now)
        self.starts.append((self.now, action.unit, action.number))
