"""An ASGI application for a web worker: tells when it is ready, and of each request when it begins and who answers."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aelastic import rank


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer ``/<id>`` after a moment."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    name = scope["path"].strip("/")
    os.write(1, f"begin {name}\n".encode())
    await asyncio.sleep(0.005)
    body = f"{os.getpid()} {name}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Any, send: Any) -> None:
    """From ready to the end."""
    await receive()
    rank.ready()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
