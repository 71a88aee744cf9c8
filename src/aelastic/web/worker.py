"""A uvicorn server that turns nobody away when it is told to end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from aelastic import rank

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

_TICKS = 10  # of uvicorn's main loop, in a second


class Worker(uvicorn.Server):
    """See ``serve``. It overrides what uvicorn's own life goes through, in this order."""

    def __init__(self, config: uvicorn.Config, drain_time: float) -> None:
        super().__init__(config)
        self._drain_time = drain_time
        self._drains_until: float | None = None  # by time.monotonic; None: it takes connections
        interval = rank.watchdog_interval()
        self._ticks_per_beat = max(1, int(interval * _TICKS / 2)) if interval else 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Ready is who has started and takes connections."""
        self.config.loaded_app = self._closing(self.config.loaded_app)
        await super().startup(sockets)
        if self.started:
            rank.ready()

    async def on_tick(self, counter: int) -> bool:
        """Whether the main loop is over: when it is to end, and, from then on, when nobody is left to serve."""
        if self._ticks_per_beat and counter % self._ticks_per_beat == 0:
            rank.heartbeat()
        return await super().on_tick(counter) and (self._drains_until is None or self._is_drained(self._drains_until))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, go on with those there are for a while, then stop as uvicorn does."""
        rank.stopping()
        self._drains_until = time.monotonic() + self._drain_time
        await self._stop_accepting()
        await self.main_loop()
        await super().shutdown(sockets)

    async def _stop_accepting(self) -> None:
        """asyncio accepts many at once and gives them transports a turn later, which a closed server refuses."""
        loop = asyncio.get_running_loop()
        for one in (one for server in self.servers for one in server.sockets):
            loop.remove_reader(one)  # uvloop has none, and gives transports at once
        await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        self.servers = []  # uvicorn would wait for those whose TLS handshake never ends
        await asyncio.sleep(0)  # uvicorn learns of the last ones

    def _is_drained(self, until: float) -> bool:
        """With TLS nobody knows of connections whose handshake goes on."""
        left = self.server_state.connections or self.config.is_ssl
        return not left or self.force_exit or time.monotonic() >= until

    def _closing(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """``app``, whose responses are the last of their connections once this ends (HTTP/2 has a word of its own)."""

        async def closing(scope: dict[str, Any], receive: Any, send: Any) -> None:
            async def send_closing(message: dict[str, Any]) -> None:
                await send(message if self._drains_until is None else self._last(message))

            is_http_1 = scope["type"] == "http" and scope["http_version"].startswith("1")
            await app(scope, receive, send_closing if is_http_1 else send)

        return closing

    @staticmethod
    def _last(message: dict[str, Any]) -> dict[str, Any]:
        if message["type"] != "http.response.start":
            return message
        headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"connection"]
        return {**message, "headers": [*headers, (b"connection", b"close")]}
