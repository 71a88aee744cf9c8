"""Which units of a supervisor are to run now. Pure; time and chance are arguments.

A unit is what is started and stopped together: the whole gang with ``one_for_all``, else one rank. Every fact changes
what is wanted, or what is there; then ``_reconcile`` says what is to be done about the difference. A unit is started
only when nothing of it is there; nothing is started once the end was asked for.

=========  ==================================  =====================================================
presence   the unit's instance                 leaves it by
=========  ==================================  =====================================================
(none)     there is none                       ``Start``, when wanted, due, and its turn
STARTING   not yet complete                    ``started``; ``Stop``; ``ended``
RUNNING    complete                            ``Stop``; ``ended``
STOPPING   it was told to stop                 ``ended``
=========  ==================================  =====================================================

The one exception is a replacement. Beside the unit's instance there is another one then, never two: its successor,
until that is ``ready`` and takes its place; from then on its predecessor, which is told to stop. Until nothing is
beside the instance any more, nothing else of the unit is started, whatever becomes of the instance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from aelastic.decide.restarts import Again, Outcome, RestartHistory, TooMuch, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aelastic.decide.restarts import End, RestartPolicy

Strategy: TypeAlias = Literal["one_for_all", "one_for_one", "rest_for_one"]

_STARTING_AT_ONCE = 4  # so that many ranks neither hold the loop up nor wait for one slow start


@dataclass(frozen=True, slots=True)
class Start:
    """Start instance ``number`` of ``unit``. ``ready_within``: the seconds that this one has to become ready."""

    unit: int
    number: int
    ready_within: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Walk the stop ladder with instance ``number`` of ``unit``. May come again, when more haste is asked for."""

    unit: int
    number: int


@dataclass(frozen=True, slots=True)
class Restarting:
    """For the record: instance ``number`` of ``unit`` is to be started, in ``delay`` seconds at the earliest."""

    unit: int
    number: int
    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """For the record: everything is stopped, since ``unit`` may not be started again."""

    unit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is there, and nothing will be started."""


Action: TypeAlias = Start | Stop | Restarting | GiveUp | Finish


class Presence(Enum):
    """How far an instance is."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Intent(Enum):
    """What a unit is to do when it is absent."""

    RUN = "run"
    DONE = "done"  # it has ended by itself, and that was that
    HELD = "held"  # stopped on request: it waits for another one
    REMOVED = "removed"


@dataclass(slots=True)
class _Instance:
    """``leaving``: it is to go."""

    number: int
    presence: Presence = Presence.STARTING
    leaving: bool = False

    @property
    def runs(self) -> bool:
        return self.presence is Presence.RUNNING and not self.leaving


@dataclass(slots=True)
class _Unit:
    """``beside``: the successor or the predecessor of ``instance``. ``not_before``: the end of the back-off.

    ``lost``: not even SIGKILL has ended its last instance, so there must not be another one. ``count``: of its
    instances so far, whose numbers begin at 0.
    """

    instance: _Instance | None = None
    beside: _Instance | None = None
    intent: Intent = Intent.RUN
    lost: bool = False
    count: int = 0
    not_before: float | None = None
    history: RestartHistory = field(default_factory=RestartHistory)

    @property
    def there(self) -> list[_Instance]:
        """Whatever is there of it; the instance last."""
        return [one for one in (self.beside, self.instance) if one is not None]

    @property
    def on_its_way(self) -> bool:
        """There will be another instance, without anything more being done."""
        coming = self.instance.leaving if self.instance else self.not_before is None
        return self.intent is Intent.RUN and coming

    def next_instance(self) -> _Instance:
        self.count += 1
        return _Instance(self.count - 1)

    def complete(self, number: int) -> None:
        """All of instance ``number`` is there."""
        for one in self.there:
            if one.number == number and one.presence is Presence.STARTING:
                one.presence = Presence.RUNNING

    def want(self) -> None:
        """It is to run, as soon as it can."""
        if not self.lost:
            self.intent, self.not_before = Intent.RUN, None

    def leave(self) -> None:
        """Whatever is there of it is to go."""
        for one in self.there:
            one.leaving = True

    def drop(self, intent: Intent) -> None:
        """It is not to run."""
        self.intent, self.not_before = intent, None
        self.leave()

    def promote(self) -> None:
        """The successor takes the place of the instance, if that is still there."""
        self.instance, self.beside = self.beside, self.instance
        if self.beside is not None:
            self.beside.leaving = True
        self.history = self.history.steady()
        self.want()


class Supervision:
    """Decides about ``units`` units, numbered from 0. ``chance`` gives a number from 0 to 1 for each delay.

    With ``rest_for_one`` a unit depends on those before it: they are started in order, each when the one before runs,
    stopped in reverse order, each when the one after it is gone, and restarted together with all after them (OTP's
    meaning). One unit alone has no others to care for.
    """

    def __init__(self, units: int, strategy: Strategy, policy: RestartPolicy, chance: Callable[[], float]) -> None:
        self.closing = False
        self.finished = False
        self.gave_up = ""
        self._ordered = strategy == "rest_for_one"
        self._policy = policy
        self._chance = chance
        self._units = {unit: _Unit() for unit in range(units)}

    # Facts

    def begin(self, at: float) -> list[Action]:
        """Start them all."""
        return self._reconcile(at)

    def started(self, unit: int, number: int, at: float) -> list[Action]:
        """The instance is complete."""
        self._units[unit].complete(number)
        return self._reconcile(at)

    def ready(self, unit: int, number: int, at: float) -> list[Action]:
        """The instance is complete, and ready. A successor becomes the unit's instance by that."""
        one = self._units[unit]
        one.complete(number)
        if one.beside is not None and one.beside.number == number and not one.beside.leaving:
            one.promote()
        return self._reconcile(at)

    def ended(self, unit: int, number: int, at: float, end: End) -> list[Action]:
        """Nothing of the instance is there any more, or it never came to be. A second end changes nothing.

        How a successor or a predecessor ends is no matter of the unit's.
        """
        one = self._units[unit]
        if one.beside is not None and one.beside.number == number:
            one.beside = None
            return self._reconcile(at)
        if one.instance is None or one.instance.number != number:
            return []
        asked, one.instance = one.instance.leaving, None
        one.lost = end.outcome is Outcome.ABANDONED
        judged = not asked or (one.lost and one.intent is Intent.RUN and not self.closing)
        return (self._judge(unit, one, at, end) if judged else []) + self._reconcile(at)

    def deadline(self, at: float) -> list[Action]:
        """Time has come to ``at``."""
        return self._reconcile(at)

    def restart_asked(self, unit: int | None, at: float) -> list[Action]:
        """Somebody wants a fresh instance of ``unit`` (None: of all), at once."""
        told: list[Action] = []
        for index in self.units if unit is None else [unit]:
            one = self._units[index]
            one.history = one.history.steady()
            told += self._renew(index, one, "a restart was asked for", 0.0)
            told += self._renew_dependents(index, f"rank {index} restarts", 0.0)
        return told + self._reconcile(at)

    def replace_asked(self, unit: int, at: float, ready_within: float | None = None) -> list[Action]:
        """Somebody wants another instance in the place of the one that runs, once it is ready; see ``can_replace``."""
        one = self._units[unit]
        if not self.can_replace(unit) or one.beside is not None:
            return self._reconcile(at)
        one.beside = one.next_instance()
        return [Start(unit, one.beside.number, ready_within), *self._reconcile(at)]

    def start_asked(self, unit: int, at: float) -> list[Action]:
        """Somebody wants ``unit`` to run; if it does, nothing changes."""
        one = self._units[unit]
        if one.intent is not Intent.RUN or one.instance is None:
            one.history = one.history.steady()
            one.want()
        return self._reconcile(at)

    def stop_asked(self, unit: int, at: float) -> list[Action]:
        """Somebody wants ``unit`` not to run until further notice."""
        self._units[unit].drop(Intent.HELD)
        return self._reconcile(at)

    def scale_asked(self, count: int, at: float) -> list[Action]:
        """Somebody wants ``count`` units, no more, no fewer."""
        for unit in range(count):
            one = self._units.setdefault(unit, _Unit())
            if one.intent is Intent.REMOVED:
                one.want()
        for unit in self._units.keys() - range(count):
            self._units[unit].drop(Intent.REMOVED)
        return self._reconcile(at)

    def close_asked(self, at: float, *, at_once: bool = False) -> list[Action]:
        """Somebody wants the end. ``at_once``: of all of them together, whatever the strategy."""
        self.closing = True
        self._ordered = self._ordered and not at_once
        again: list[Action] = []
        for unit, one in self._units.items():
            one.leave()
            again += [Stop(unit, each.number) for each in one.there if each.presence is Presence.STOPPING]
        return again + self._reconcile(at)

    # What is known

    @property
    def units(self) -> list[int]:
        """Those that were not removed."""
        return [unit for unit, one in sorted(self._units.items()) if one.intent is not Intent.REMOVED]

    @property
    def next_deadline(self) -> float | None:
        """When ``deadline`` must be called at the latest; None when only an end or a request can change anything."""
        waiting = [one.not_before for one in self._units.values() if self._is_waiting(one)]
        return min((at for at in waiting if at is not None), default=None)

    def is_waiting(self, unit: int) -> bool:
        """Its back-off lasts."""
        return self._is_waiting(self._units[unit])

    def will_start(self, unit: int) -> bool:
        """Without its instance: there will be another one, if only after a back-off, or its successor is coming."""
        one = self._units[unit]
        coming = any(not each.leaving for each in one.there)
        return not self.closing and (coming or one.on_its_way or self._is_waiting(one))

    def is_lost(self, unit: int) -> bool:
        """Not even SIGKILL has ended its last instance: it will not be started again."""
        return self._units[unit].lost

    def number(self, unit: int) -> int | None:
        """The number of its instance, if it has one; its successor or predecessor does not count."""
        instance = self._units[unit].instance
        return None if instance is None else instance.number

    def can_replace(self, unit: int) -> bool:
        """It runs, or its successor is coming, and nobody wants them to go."""
        return any(not one.leaving for one in self._units[unit].there)

    def is_successor(self, unit: int, number: int) -> bool:
        """Whether this instance has not taken over yet. It is the youngest: none is started before that is decided."""
        one = self._units[unit]
        return one.beside is not None and one.beside.number == number == one.count - 1

    def is_replaced(self, unit: int) -> bool:
        """No replacement is under way: nothing is beside its instance."""
        return self._units[unit].beside is None

    def is_settled(self, unit: int) -> bool:
        """What was last asked for is the case, or has failed: nothing is on its way but back-offs and successors."""
        one = self._units[unit]
        if one.beside is not None and (one.beside.leaving or one.instance is None):
            return False
        if one.instance is not None:
            return one.instance.runs
        held_up = any(self._is_waiting(self._units[before]) for before in self.units if before < unit and self._ordered)
        return self.closing or held_up or not one.on_its_way

    @property
    def all_settled(self) -> bool:
        """Nothing is on its way but what back-offs hold up."""
        return all(self.is_settled(unit) for unit in self._units)

    # What follows

    def _is_waiting(self, one: _Unit) -> bool:
        return not self.closing and one.instance is None and one.not_before is not None

    def _judge(self, unit: int, one: _Unit, at: float, end: End) -> list[Action]:
        verdict = judge(self._policy, one.history, end, at, self._chance())
        if isinstance(verdict, TooMuch):
            return self._give_up(unit, verdict.reason)
        if isinstance(verdict, Again):
            one.intent, one.history, one.not_before = Intent.RUN, verdict.history, at + verdict.delay
            again = Restarting(unit, one.count, verdict.delay, end.reason)
            return [again, *self._renew_dependents(unit, end.reason, verdict.delay)]
        one.intent = Intent.DONE
        return []

    def _give_up(self, unit: int, reason: str) -> list[Action]:
        self.gave_up, self.closing = reason, True
        for one in self._units.values():
            one.leave()
        return [GiveUp(unit, reason)]

    def _renew(self, unit: int, one: _Unit, reason: str, delay: float) -> list[Action]:
        """Let the present instance go and another one come; ``delay``: not before what it depends on."""
        if self.closing or one.lost or one.on_its_way:
            return []
        one.want()
        one.leave()
        return [Restarting(unit, one.count, delay, reason)]

    def _renew_dependents(self, unit: int, reason: str, delay: float) -> list[Action]:
        """The others that cannot go on without ``unit``. One whose own back-off lasts is on its way already."""
        told: list[Action] = []
        for later in self.units if self._ordered else ():
            one = self._units[later]
            if later > unit and one.not_before is None:
                told += self._renew(later, one, reason, delay)
        return told

    def _reconcile(self, at: float) -> list[Action]:
        actions = [*self._stops(), *self._starts(at)]
        at_rest = not any(one.there for one in self._units.values())
        open_ends = [one for one in self._units.values() if one.intent in (Intent.RUN, Intent.HELD)]
        if at_rest and (self.closing or not open_ends) and not self.finished:
            self.finished = True
            actions.append(Finish())
        return actions

    def _stops(self) -> Iterable[Action]:
        for unit in sorted(self._units, reverse=True):
            leaving = [one for one in self._units[unit].there if one.leaving]
            for one in leaving:
                if one.presence is not Presence.STOPPING:
                    one.presence = Presence.STOPPING
                    yield Stop(unit, one.number)
            if leaving and self._ordered:
                return

    def _starts(self, at: float) -> Iterable[Action]:
        for unit in () if self.closing else self.units:
            one = self._units[unit]
            if one.not_before is not None and at >= one.not_before:
                one.not_before = None
            wanted = one.intent is Intent.RUN and not one.there
            if wanted and one.not_before is None and self._is_its_turn(unit):
                one.instance = one.next_instance()
                yield Start(unit, one.instance.number)

    def _is_its_turn(self, unit: int) -> bool:
        there = {other: one.instance for other, one in self._units.items() if one.instance is not None}
        if not self._ordered:
            return [one.presence for one in there.values()].count(Presence.STARTING) < _STARTING_AT_ONCE
        before = [other for other, one in self._units.items() if other < unit and one.intent is Intent.RUN]
        ready = all(other in there and there[other].runs for other in before)
        return ready and not any(one.leaving for other, one in there.items() if other > unit)
