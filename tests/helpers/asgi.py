"""A dashboard asked without a server: what a client, a slow one, and one that leaves would see."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from starlette.types import ASGIApp, Message

PATIENCE = 20.0


def client(app: ASGIApp, root_path: str = "") -> httpx.AsyncClient:
    """Asks ``app``, which is mounted at ``root_path``."""
    transport = httpx.ASGITransport(app=app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url=f"http://service{root_path}")


class Watcher:
    """Follows the stream of ``run``; ``events`` has what it got: name and data. It stops reading without ``reads``.

    ``fails``: what the server raises instead of sending, from the second message on.
    """

    def __init__(
        self, app: ASGIApp, run: str = "ranks", query: str = "", last: str = "", fails: Exception | None = None
    ) -> None:
        headers = [(b"last-event-id", last.encode())] if last else []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": f"/api/runs/{run}/stream",
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[tuple[str, Any]] = []
        self.comments = 0
        self.last = last
        self.sent = 0  # bytes
        self.reads = asyncio.Event()
        self.reads.set()
        self.ended = False
        self._left = asyncio.Event()
        self._changed = asyncio.Event()
        self._app = app
        self._fails = fails

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
        await asyncio.wait_for(self._task, PATIENCE)

    def leave(self) -> None:
        """Go away."""
        self._left.set()

    async def event(self, name: str, **fields: Any) -> Any:
        """Wait for an event of that name, whose data has these fields."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for kind, data in self.events:
                    if kind == name and all(data.get(key) == value for key, value in fields.items()):
                        return data
                await self._more(f"{name} {fields}")

    async def line(self, text: str) -> list[Any]:
        """Wait for a line that contains ``text``: rank, stream, time, text."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for row in self.rows:
                    if text in row[3]:
                        return row
                await self._more(text)

    @property
    def rows(self) -> list[list[Any]]:
        """All lines so far."""
        return [row for name, data in self.events if name == "portion" for row in data["lines"]]

    @property
    def happened(self) -> list[dict[str, Any]]:
        """All events of ranks so far."""
        return [event for name, data in self.events if name == "portion" for event in data["events"]]

    @property
    def lost(self) -> int:
        """How many lines it was told that it does not see."""
        portions = [data for name, data in self.events if name == "portion"]
        told = [data["lines"] for name, data in self.events if name == "gap"]
        told += [data["missed"] + sum(data["dropped"].values()) for data in portions]
        return int(sum(told))

    async def end(self) -> None:
        """Wait until the server ends it."""
        async with asyncio.timeout(PATIENCE):
            while not self.ended:
                await self._more("the end", even_then=True)

    async def _more(self, what: str, *, even_then: bool = False) -> None:
        assert even_then or not self.ended, f"the stream ended without {what}: {self.events}"
        self._changed.clear()
        await self._changed.wait()

    async def _follow(self) -> None:
        try:
            await self._app(self.scope, self._receive, self._send)
        finally:
            self.ended = True
            self._changed.set()

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        if self._fails is not None and self.events:
            raise self._fails
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.sent += len(message["body"])
            for part in message["body"].decode().split("\n\n"):
                self._take(part)
        self._changed.set()

    def _take(self, part: str) -> None:
        fields = dict(line.split(": ", 1) for line in part.split("\n") if ": " in line)
        self.comments += part == ":"
        self.last = fields.get("id", self.last)
        if "event" in fields:
            self.events.append((fields["event"], json.loads(fields["data"])))
