"""Web workers on one port, none of whose clients notice that a worker is replaced.

    python examples/web_workers.py [PORT]

listens on the port (default: 8000) itself and has four uvicorn workers take the connections. A worker that dies is
started again; its share of the connections goes to the others meanwhile. ``kill -HUP`` replaces the workers one after
another, each when its successor is ready: so a new version goes into service, and nobody is turned away. ^C stops them
all. Needs uvicorn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

import aelastic
import aelastic.web
from aelastic import rank

WORKERS = 4


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The application of a worker."""
    if scope["type"] == "lifespan":
        await receive()  # here is the time to load and to connect
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        body = f"worker {rank.rank()} (pid {os.getpid()})\n".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})


async def replace_when_asked(workers: aelastic.Supervisor) -> None:
    """A rolling replacement for each SIGHUP."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    while True:
        await asked.wait()
        asked.clear()
        try:
            await workers.replace(timeout=30)
            print("all workers are replaced", flush=True)
        except aelastic.NotReadyError as error:
            print(f"the new version is no good, the old one goes on: {error}", flush=True)


async def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port), backlog=2048) as shared:
        workers = aelastic.Supervisor(
            "web",
            sys.executable,
            args=dict.fromkeys(range(WORKERS), (__file__, "worker")),
            envs={number: {} for number in range(WORKERS)},
            strategy="one_for_one",
            restart=aelastic.RestartPolicy(max_restarts=10, period=60, backoff=0.1),
            readiness=aelastic.Notify(),
            sockets={"http": shared},
        )
        async with workers:
            with aelastic.handle_signals(workers, [signal.SIGINT, signal.SIGTERM]):
                replacing = asyncio.create_task(replace_when_asked(workers))
                await workers.ready(timeout=60)
                print(f"{WORKERS} workers on http://127.0.0.1:{shared.getsockname()[1]}/", flush=True)
                result = await workers.wait()
                replacing.cancel()
    if result.gave_up:
        sys.exit(result.gave_up)


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        aelastic.web.serve(app, access_log=False)
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
