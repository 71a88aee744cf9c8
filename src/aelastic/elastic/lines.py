"""The captured lines of a supervisor: those of its runs, one after another and side by side."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aelastic.logs.subscription import Relay, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aelastic.events import LogLine
    from aelastic.logs.feed import Feed
    from aelastic.std import Std


@dataclass(slots=True)
class _Listener:
    """Who wants which lines. The ``relays`` live as long as the feeds that they hear."""

    subscription: weakref.ref[Subscription[LogLine]]
    rank: int | None
    streams: Std
    capacity: int
    max_delay: float
    relays: list[Relay[LogLine]] = field(default_factory=list)

    @property
    def listens(self) -> bool:
        found = self.subscription()
        return found is not None and not found.closed


class Lines:
    """Hands the lines of all runs to the subscriptions, as long as somebody holds these."""

    def __init__(self) -> None:
        self._listeners: list[_Listener] = []
        self._closed = False

    def subscribe(
        self, rank: int | None, streams: Std, capacity: int, max_delay: float, feeds: Iterable[Feed]
    ) -> Subscription[LogLine]:
        """A subscription that begins with what the ``feeds`` of the present runs remember."""
        subscription: Subscription[LogLine] = Subscription(capacity, max_delay=max_delay)
        listener = _Listener(weakref.ref(subscription), rank, streams, capacity, max_delay)
        self._listeners.append(listener)
        for feed in feeds:
            _connect(listener, feed)
        if self._closed:
            subscription.close()
        return subscription

    def connect(self, feed: Feed) -> None:
        """There is another run."""
        self._listeners = [one for one in self._listeners if one.listens]
        for listener in self._listeners:
            _connect(listener, feed)

    def close(self) -> None:
        """There will be no other run."""
        self._closed = True
        for listener in self._listeners:
            if (subscription := listener.subscription()) is not None:
                subscription.close()
        self._listeners.clear()


def _connect(listener: _Listener, feed: Feed) -> None:
    relay: Relay[LogLine] = Relay(listener.capacity, partial(_forward, listener.subscription), listener.max_delay)
    feed.attach(relay, listener.rank, listener.streams)
    listener.relays = [one for one in (*listener.relays, relay) if not one.closed]


def _forward(target: weakref.ref[Subscription[LogLine]], items: tuple[LogLine, ...], missed: int) -> bool:
    subscription = target()
    if subscription is None or subscription.closed:
        return False
    subscription.publish(*items, missed=missed)
    return True
