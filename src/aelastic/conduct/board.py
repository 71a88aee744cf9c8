"""What can be observed of a run: its events, and its ranks at this moment."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING

from aelastic.decide.ladder import Step
from aelastic.events import RankSnapshot, RankState
from aelastic.logs.subscription import Subscription

if TYPE_CHECKING:
    from aelastic.events import Event, RankExited, RankStarted, RunFinished

_REMEMBERED = 10_000
_CAPACITY = 100_000
_STATES = {
    None: RankState.PENDING,
    Step.RUNNING: RankState.RUNNING,
    Step.TERMINATING: RankState.STOPPING,
    Step.KILLING: RankState.STOPPING,
    Step.GONE: RankState.EXITED,
    Step.ABANDONED: RankState.ABANDONED,
}


class Story:
    """Remembers events, the last ``_REMEMBERED`` ones, and tells them to whoever subscribes as long as he listens."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_REMEMBERED)
        self._told = 0
        self._subscriptions: list[weakref.ref[Subscription[Event]]] = []
        self._closed = False

    def publish(self, event: Event) -> None:
        """It has happened."""
        self._events.append(event)
        self._told += 1
        for subscription in self._listeners():
            subscription.publish(event)

    def subscribe(self) -> Subscription[Event]:
        """All events: those that have happened, and those to come. ``dropped`` counts what was forgotten."""
        subscription: Subscription[Event] = Subscription(_CAPACITY)
        subscription.publish(*self._events, missed=self._told - len(self._events))
        self.attach(subscription)
        return subscription

    def attach(self, subscription: Subscription[Event]) -> None:
        """Tell ``subscription`` what happens from now on."""
        self._subscriptions.append(weakref.ref(subscription))
        if self._closed:
            subscription.close()

    def close(self) -> None:
        """Nothing more will happen."""
        self._closed = True
        for subscription in self._listeners():
            subscription.close()

    def _listeners(self) -> list[Subscription[Event]]:
        alive = [(one, found) for one in self._subscriptions if (found := one()) is not None and not found.closed]
        self._subscriptions = [one for one, _ in alive]
        return [found for _, found in alive]


class Board:
    """The events of a run, and what they amount to."""

    def __init__(self) -> None:
        self.started: dict[int, RankStarted] = {}
        self.exited: dict[int, RankExited] = {}
        self.story = Story()

    def add_started(self, event: RankStarted) -> None:
        """A rank has started."""
        self.started[event.rank] = event
        self.story.publish(event)

    def add_exited(self, event: RankExited) -> None:
        """A rank has exited."""
        self.exited[event.rank] = event
        self.story.publish(event)

    def close(self, event: RunFinished | None) -> None:
        """Nothing more will happen. ``event`` is None when the run never came to be."""
        if event is not None:
            self.story.publish(event)
        self.story.close()

    def subscribe(self) -> Subscription[Event]:
        """All events: those that have happened, and those to come."""
        return self.story.subscribe()

    def snapshot(self, rank: int, step: Step | None, last_line: str) -> RankSnapshot:
        """The rank as it is now; ``step`` is None before its start."""
        started, exited = self.started.get(rank), self.exited.get(rank)
        return RankSnapshot(
            rank=rank,
            state=_STATES[step],
            pid=started.pid if started else None,
            exitcode=exited.exitcode if exited else None,
            started_at=started.time if started else None,
            ended_at=exited.time if exited else None,
            last_line=last_line,
        )
