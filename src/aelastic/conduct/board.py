"""What can be observed of a run: its events, and its ranks at this moment."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from aelastic.decide.journal import Journal
from aelastic.decide.ladder import Step
from aelastic.events import RankProgress, RankSnapshot, RankState, RankStatus
from aelastic.logs.subscription import Subscription

if TYPE_CHECKING:
    from aelastic.events import Event, RankExited, RankStarted, RunFinished

_CAPACITY = 100_000
_STATES = {
    None: RankState.PENDING,
    Step.RUNNING: RankState.RUNNING,
    Step.TERMINATING: RankState.STOPPING,
    Step.KILLING: RankState.STOPPING,
    Step.GONE: RankState.EXITED,
    Step.ABANDONED: RankState.ABANDONED,
}


class Board:
    """Remembers every event of a run and tells them to any number of consumers, from the first one on."""

    def __init__(self) -> None:
        self.started: dict[int, RankStarted] = {}
        self.exited: dict[int, RankExited] = {}
        self._statuses: dict[int, RankStatus] = {}
        self._progress: dict[int, RankProgress] = {}
        self._events = Journal()
        self._subscriptions: weakref.WeakSet[Subscription[Event]] = weakref.WeakSet()
        self._closed = False

    def add_started(self, event: RankStarted) -> None:
        """A rank has started."""
        self.started[event.rank] = event
        self.add(event)

    def add_exited(self, event: RankExited) -> None:
        """A rank has exited."""
        self.exited[event.rank] = event
        self.add(event)

    def add_status(self, event: RankStatus) -> None:
        """A rank says what it does."""
        self._statuses[event.rank] = event
        self.add(event)

    def add_progress(self, event: RankProgress) -> None:
        """A rank says how far it is."""
        self._progress[event.rank] = event
        self.add(event)

    def add(self, event: Event) -> None:
        """Something has happened."""
        self._events.extend([event])
        for subscription in self._subscriptions:
            subscription.publish(event)

    def close(self, event: RunFinished | None) -> None:
        """Nothing more will happen. ``event`` is None when the run never came to be."""
        if event is not None:
            self.add(event)
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()

    def subscribe(self) -> Subscription[Event]:
        """All events: those that have happened, and those to come."""
        subscription: Subscription[Event] = Subscription(_CAPACITY, Journal())
        subscription.publish(*self._events)
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.close()
        return subscription

    def snapshot(self, rank: int, step: Step | None, last_line: str, *, ready: bool) -> RankSnapshot:
        """The rank as it is now; ``step`` is None before its start."""
        started, exited, status = self.started.get(rank), self.exited.get(rank), self._statuses.get(rank)
        return RankSnapshot(
            rank=rank,
            state=_STATES[step],
            pid=started.pid if started else None,
            exitcode=exited.exitcode if exited else None,
            started_at=started.time if started else None,
            ended_at=exited.time if exited else None,
            last_line=last_line,
            ready=ready and step is Step.RUNNING,
            status=status.status if status else "",
            progress=self._progress.get(rank),
        )
