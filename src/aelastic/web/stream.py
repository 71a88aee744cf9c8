"""Server-sent events: a hub on its way to one watcher."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from aelastic.web.disconnect import disconnected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from starlette.types import Receive, Scope, Send

    from aelastic.web.hub import Hub

HEARTBEAT = 15.0  # seconds; proxies close what is silent for a minute
_BACKLOG = 1000  # lines


@dataclass(frozen=True, slots=True)
class Position:
    """How far a watcher is: the last portion of a hub, and how many lines there were up to its end."""

    epoch: str
    number: int
    passed: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}-{self.passed}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """What ``str`` gave; None for anything else."""
        epoch, *numbers = text.split("-")
        if len(numbers) != 2 or not all(one.isascii() and one.isdigit() and len(one) < 16 for one in numbers):
            return None
        return cls(epoch, int(numbers[0]), int(numbers[1]))


async def messages(
    hub: Hub, ranks: frozenset[int] | None, last: Position | None, is_current: Callable[[], bool], heartbeat: float
) -> AsyncIterator[bytes]:
    """What a watcher of ``ranks`` (None: all) gets who was at ``last``, each message when it has taken the one before.

    ``is_current``: whether the hub is still what was asked for.
    """
    ring = hub.ring
    resumed = last is not None and last.epoch == hub.epoch and last.number <= ring.newest
    number = last.number if resumed and last is not None else ring.recent(_BACKLOG)
    passed = last.passed if resumed and last is not None else None
    yield message("hello", {"resumed": resumed}) + b"retry: 1000\n\n"
    tables = 0
    while True:
        if tables != hub.tables:
            tables = hub.tables
            yield _as_message("table", hub.table)
        if (portion := ring.after(number)) is not None:
            if passed is not None and (gap := ring.passed_before(portion) - passed) > 0:
                yield message("gap", {"lines": gap})
            number, passed = portion.number, portion.passed
            yield _as_message("portion", ring.encode(portion, ranks), str(Position(hub.epoch, number, passed)))
        elif hub.closed or not is_current():
            return
        elif hub.over:
            yield message("over", {})
            return
        elif tables == hub.tables and not await hub.changed(heartbeat):
            yield b":\n\n"


def message(event: str, value: Any) -> bytes:
    """One event; ``value`` as JSON."""
    return _as_message(event, msgspec.json.encode(value))


def _as_message(event: str, data: bytes, position: str = "") -> bytes:
    number = f"id: {position}\n" if position else ""
    return b"%sevent: %s\ndata: %s\n\n" % (number.encode(), event.encode(), data)


class EventStream:
    """An endless response. It ends with its ``messages``, or when the client goes away, whatever the server tells.

    Starlette's ``StreamingResponse`` notices a client that has gone only when the next message is sent to it, on
    servers that speak a newer ASGI; until then, which may be a heartbeat, a watcher would be counted that is none.
    """

    def __init__(self, hub: Hub, messages: AsyncIterator[bytes]) -> None:
        self._hub = hub
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        with self._hub.watching():
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await _first_of(self._stream(send), disconnected(receive))

    async def _stream(self, send: Send) -> None:
        with suppress(OSError):  # how servers say, since ASGI 2.4, that the client is gone
            async for part in self._messages:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all of ``works`` until one is done, and cancel the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
