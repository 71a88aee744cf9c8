"""Figures for Prometheus, gathered when it asks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

from aelastic.events import RankExited, RankState
from aelastic.web.operations import Operation
from aelastic.web.views import has_begun, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from starlette.requests import Request

    from aelastic.events import Event
    from aelastic.logs.subscription import Subscription
    from aelastic.web.hubs import Hubs
    from aelastic.web.sources import Named, Sources, Watched

_PAUSE = 0.005


class _Exits:
    """How ranks of one source have ended. Counted when somebody asks; what happens until then waits in the library."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._events: Subscription[Event] = watched.events()
        self._codes: Counter[tuple[int, int]] = Counter()

    def count(self) -> Counter[tuple[int, int]]:
        """By rank and exit code, so far."""
        self._codes.update((one.rank, one.exitcode) for one in self._events.take() if isinstance(one, RankExited))
        return self._codes


class Metrics:
    """Of all ``sources``."""

    def __init__(self, sources: Sources, hubs: Hubs) -> None:
        self._sources = sources
        self._hubs = hubs
        self._exits: dict[str, _Exits] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """One."""
        return (Operation("metrics", "GET", "/metrics", "For Prometheus", self.metrics, media="text/plain"),)

    async def metrics(self, request: Request) -> Response:
        """What is the case now."""
        lag = await _loop_lag()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Now(self._gather(lag)))
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    def _gather(self, lag: float) -> list[Metric]:
        named = self._sources.all()
        self._exits = {one.name: exits for one in named if (exits := self._exits_of(one)) is not None}
        return [
            *_of_ranks(named),
            *_of_exits(self._exits),
            *_of_logs(named),
            _gauge("aelastic_watchers", "How many watch the dashboard", self._hubs.watchers),
            _counter("aelastic_watch_dropped_lines", "Lines too fast for the dashboard", self._hubs.dropped),
            _gauge("aelastic_event_loop_lag_seconds", "How late the loop is, measured just now", lag),
        ]

    def _exits_of(self, named: Named) -> _Exits | None:
        watched, known = named.watched, self._exits.get(named.name)
        if watched is None or not has_begun(watched):
            return None
        return known if known is not None and known.watched is watched else _Exits(watched)


class _Now(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


async def _loop_lag() -> float:
    """By how much a short pause is longer than it should be."""
    begin = time.monotonic()
    await asyncio.sleep(_PAUSE)
    return max(0.0, time.monotonic() - begin - _PAUSE)


def _of_ranks(sources: list[Named]) -> Iterator[Metric]:
    states = GaugeMetricFamily("aelastic_ranks", "How many ranks are in a state", labels=["run", "state"])
    ready = GaugeMetricFamily("aelastic_ranks_ready", "How many ranks run and are ready", labels=["run"])
    restarts = CounterMetricFamily("aelastic_rank_restarts", "Starts of a rank again", labels=["run", "rank"])
    for named in sources:
        seen = snapshot_of(named.watched)
        counts = Counter(rank.state for rank in seen.values())
        for state in RankState:
            states.add_metric([named.name, state.value], counts[state])
        ready.add_metric([named.name], sum(rank.ready for rank in seen.values()))
        for rank in seen.values():
            restarts.add_metric([named.name, str(rank.rank)], rank.attempt)
    yield from (states, ready, restarts)


def _of_exits(exits: dict[str, _Exits]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "aelastic_rank_exits", "Ends of a rank by exit code; negative: a signal", labels=["run", "rank", "code"]
    )
    for name, one in exits.items():
        for (rank, code), count in one.count().items():
            family.add_metric([name, str(rank), str(code)], count)
    yield family


def _of_logs(sources: list[Named]) -> Iterator[Metric]:
    labels = ["run", "rank", "stream"]
    written = CounterMetricFamily("aelastic_log_bytes", "Bytes in the log of the present attempt", labels=labels)
    lost = CounterMetricFamily("aelastic_log_lost_bytes", "Bytes that its disk did not take", labels=labels)
    for named in sources:
        if named.watched is None:
            continue
        bytes_written, bytes_lost = named.watched.log_bytes, named.watched.lost_log_bytes
        for stream, paths in (("stdout", named.watched.stdouts), ("stderr", named.watched.stderrs)):
            for rank, path in paths.items():
                if path in bytes_written:
                    written.add_metric([named.name, str(rank), stream], bytes_written[path])
                    lost.add_metric([named.name, str(rank), stream], bytes_lost.get(path, 0))
    yield from (written, lost)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value)
