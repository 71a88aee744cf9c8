"""The operations that only look."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from aelastic.logs.pages import read_page
from aelastic.web.answers import json
from aelastic.web.hubs import MOST_WATCHERS
from aelastic.web.lookup import number
from aelastic.web.operations import Operation, Parameter
from aelastic.web.stream import EventStream, Position, messages
from aelastic.web.values import Failures, LogPage, Rank, Run, Runs
from aelastic.web.views import failures_of, outline_of, run_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from aelastic.web.hubs import Hubs
    from aelastic.web.lookup import Lookup
    from aelastic.web.sources import Sources

_PAGE, _LARGEST_PAGE, _LAST_BYTE = 64 * 1024, 1024 * 1024, 2**63 - 1
_READERS = 4
_NO_RUN = {404: "There is no such run"}
_NO_RANK = {404: "There is no such run or rank", 409: "The run is not there yet"}
_NO_PAGE = _NO_RANK | {422: "That is no offset, or no size", 503: "Too many logs are being read"}


class Reading:
    """Of ``sources``. ``heartbeat``: seconds of silence after which a stream says that it is there."""

    def __init__(self, sources: Sources, lookup: Lookup, hubs: Hubs, heartbeat: float, *, actions: bool) -> None:
        self._sources = sources
        self._lookup = lookup
        self._hubs = hubs
        self._heartbeat = heartbeat
        self._actions = actions
        self._reading = 0

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        run = "/api/runs/{run}"
        log = f"{run}/ranks/{{rank}}/logs/{{stream}}"
        pages = (
            Parameter("before", "integer", "Bytes up to this offset; without it, up to the end"),
            Parameter("after", "integer", "Bytes from this offset on, instead"),
            Parameter("limit", "integer", "At most so many bytes"),
        )
        chosen = (Parameter("ranks", "string", "Lines of these only, such as 0,3"),)
        about = "Lines, events and the table as they come: server-sent events, which a Last-Event-ID resumes"
        busy = _NO_RUN | {409: "It is not there yet", 503: "Too many watch"}
        return (
            Operation("runs", "GET", "/api/runs", "All runs", self.runs, Runs),
            Operation("run", "GET", run, "A run and its ranks", self.run, Run, errors=_NO_RUN),
            Operation("rank", "GET", f"{run}/ranks/{{rank}}", "A rank", self.rank, Rank, errors=_NO_RANK),
            Operation("failures", "GET", f"{run}/failures", "What has failed", self.failures, Failures, errors=_NO_RUN),
            Operation("log", "GET", log, "A page of a log", self.log, LogPage, query=pages, errors=_NO_PAGE),
            Operation(
                "stream", "GET", f"{run}/stream", about, self.stream, None, "text/event-stream", chosen, errors=busy
            ),
        )

    async def runs(self, request: Request) -> Response:
        """All of them, in short."""
        return json(Runs(time.time(), self._actions, tuple(outline_of(one) for one in self._sources.all())))

    async def run(self, request: Request) -> Response:
        """One at length."""
        return json(run_of(self._lookup.named(request), {}))

    async def rank(self, request: Request) -> Response:
        """One rank."""
        named = self._lookup.named(request)
        rank = self._lookup.rank(request, self._lookup.watched(request))
        return json(next(one for one in run_of(named, {}).ranks if one.rank == rank))

    async def failures(self, request: Request) -> Response:
        """What has failed."""
        return json(Failures(failures_of(self._lookup.named(request).watched)))

    async def log(self, request: Request) -> Response:
        """Read off the loop, a few at a time."""
        watched = self._lookup.watched(request)
        rank = self._lookup.rank(request, watched)
        paths = {"stdout": watched.stdouts, "stderr": watched.stderrs}.get(request.path_params["stream"])
        if not paths or not (path := paths.get(rank)):
            raise HTTPException(404, "there is no log of this stream")
        limit = number(request, "limit", _PAGE, _LARGEST_PAGE) or 1
        before, after = (number(request, name, None, _LAST_BYTE) for name in ("before", "after"))
        if self._reading >= _READERS:
            raise HTTPException(503, "too many logs are being read; ask again", {"retry-after": "1"})
        self._reading += 1
        try:
            page = await asyncio.to_thread(read_page, path, limit, before=before, after=after)
        except OSError as error:
            raise HTTPException(404, f"the log cannot be read: {error.strerror}") from error
        finally:
            self._reading -= 1
        return json(LogPage(page.start, page.end, page.size, page.data.decode(errors="replace")))

    async def stream(self, request: Request) -> EventStream:
        """Lines and events, live."""
        named, watched = self._lookup.named(request), self._lookup.watched(request)
        if self._hubs.watchers >= MOST_WATCHERS:
            raise HTTPException(503, f"{MOST_WATCHERS} watch already")
        hub = self._hubs.get(named.name, watched)
        ranks = self._lookup.ranks(request, watched)
        last = Position.parse(request.headers.get("last-event-id", ""))
        told = messages(hub, ranks, last, lambda: self._hubs.is_current(hub), self._heartbeat)
        return EventStream(hub, told)
