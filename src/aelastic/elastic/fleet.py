"""The runs of a supervisor that are there now."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from aelastic.conduct.run import Run
from aelastic.events import GaveUp, RankRestarting, RunFinished
from aelastic.logs.subscription import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.conduct.prepare import RunSpec
    from aelastic.elastic.lines import Lines
    from aelastic.errors.not_ready import NotReadyError
    from aelastic.events import Event, RankSnapshot


@dataclass(frozen=True, slots=True)
class Instance:
    """One attempt of a unit that is not over. ``relay`` hears the events of ``run`` as long as it is held."""

    unit: int
    number: int
    run: Run
    began: float
    relay: Relay[Event]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Whom it consists of."""
        return tuple(plan.rank for plan in self.run.spec.ranks)

    def was_ready(self) -> bool:
        """Whether all of its ranks have become ready."""
        return all(self.run.monitor.was_ready(rank) for rank in self.ranks)

    def losses(self) -> dict[int, NotReadyError]:
        """Those of its ranks that will not become ready any more, and why."""
        losses = {rank: self.run.monitor.loss(rank) for rank in self.ranks}
        return {rank: loss for rank, loss in losses.items() if loss is not None}

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Its ranks as they are now."""
        return {rank: replace(seen, attempt=self.number) for rank, seen in self.run.snapshot().items()}


class Fleet:
    """Holds the instances by unit and number. ``publish`` gets the events of their ranks."""

    def __init__(self, publish: Callable[[Event], None], lines: Lines) -> None:
        self.instances: dict[tuple[int, int], Instance] = {}
        self._publish = publish
        self._lines = lines

    @property
    def runs(self) -> list[Run]:
        """Those of all instances."""
        return [instance.run for instance in self.instances.values()]

    def find(self, unit: int, number: int | None) -> Instance | None:
        """This instance, if it is there."""
        return None if number is None else self.instances.get((unit, number))

    def start(self, unit: int, number: int, spec: RunSpec) -> Instance:
        """Begin a run of ``spec``."""
        run = Run(spec)
        relay: Relay[Event] = Relay(1, partial(self._pass_on, number))
        run.board.story.attach(relay)
        self._lines.connect(run.streams.feed)
        instance = self.instances[unit, number] = Instance(unit, number, run, time.monotonic(), relay)
        return instance

    def stop_starting(self, death_sig: int | None, timeout: float | None) -> None:
        """Whoever has not launched all of its ranks must launch no more."""
        for run in self.runs:
            if not run.started.done():
                run.stop(death_sig, timeout)

    def stop_blocking(self) -> None:
        """Stop all ranks where no loop runs any more."""
        for run in self.runs:
            run.ask_blocking()  # everybody first: the grace is the same time for all
        for run in self.runs:
            run.stop_blocking()

    def kill_the_rest(self) -> None:
        """Where no time is left for the ladder."""
        for run in self.runs:
            run.kill_the_rest()

    def _pass_on(self, number: int, events: tuple[Event, ...], missed: int) -> bool:
        """The end of a run is not the end of what the supervisor does."""
        for event in events:
            if not isinstance(event, RankRestarting | GaveUp | RunFinished):
                self._publish(replace(event, attempt=number))
        return True
