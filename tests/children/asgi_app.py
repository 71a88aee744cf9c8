"""An ASGI application for a web worker: tells of each request when it begins, and who answers.

``LOOP HTTP DRAIN_TIME [CERTIFICATE KEY]`` serves it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aelastic.web


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer ``/<id>?<seconds>`` after so long."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    name = scope["path"].strip("/")
    os.write(1, f"begin {name}\n".encode())
    await asyncio.sleep(float(scope["query_string"] or 0.005))
    body = f"{os.getpid()} {name}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Any, send: Any) -> None:
    """From the start to the end."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    loop, http, drain_time, *certificate = sys.argv[1:]
    tls = dict(zip(("ssl_certfile", "ssl_keyfile"), certificate, strict=False))
    aelastic.web.serve(app, drain_time=float(drain_time), loop=loop, http=http, log_level="warning", **tls)
