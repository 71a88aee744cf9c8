"""The hubs of a dashboard, one for each source that somebody watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.web.hub import Hub

if TYPE_CHECKING:
    from aelastic.web.sources import Sources, Watched

MOST_WATCHERS = 100


class Hubs:
    """Makes them when they are needed. ``linger``: see ``Hub``."""

    def __init__(self, sources: Sources, linger: float) -> None:
        self._sources = sources
        self._linger = linger
        self._hubs: dict[str, Hub] = {}
        self._dropped = 0

    def get(self, name: str, watched: Watched) -> Hub:
        """The hub of ``watched``, which is the source called ``name`` now."""
        hub = self._hubs.get(name)
        if hub is None or hub.closed or hub.watched is not watched:
            if hub is not None:
                hub.close()
            hub = self._hubs[name] = Hub(name, watched, self._linger, self._forget)
        return hub

    def is_current(self, hub: Hub) -> bool:
        """Whether ``hub`` is still that of its source."""
        named = self._sources.get(hub.name)
        return named is not None and named.watched is hub.watched

    def _forget(self, hub: Hub) -> None:
        if self._hubs.get(hub.name) is hub:
            del self._hubs[hub.name]
            self._dropped += hub.dropped

    @property
    def watchers(self) -> int:
        """How many there are."""
        return sum(hub.watchers for hub in self._hubs.values())

    @property
    def dropped(self) -> int:
        """How many lines came faster than they were read, and were shown to nobody."""
        return self._dropped + sum(hub.dropped for hub in self._hubs.values())
