"""Events in their order, in bounded memory: of what a rank tells of itself, only the latest of its kind. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from aelastic.events import RankProgress, RankStatus

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from aelastic.events import Event


class Journal:
    """A queue of events. A new status takes the place of the same rank's older one, at the end; so does progress."""

    def __init__(self) -> None:
        self._events: OrderedDict[Hashable, Event] = OrderedDict()
        self._count = 0

    def extend(self, events: Iterable[Event]) -> None:
        """Add ``events`` at the end."""
        for event in events:
            self._add(event)

    def popleft(self) -> Event:
        """Take the first one away."""
        return self._events.popitem(last=False)[1]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events.values())

    def _add(self, event: Event) -> None:
        self._count += 1
        key: Hashable = (type(event), event.rank) if isinstance(event, RankStatus | RankProgress) else self._count
        self._events[key] = event
        self._events.move_to_end(key)
