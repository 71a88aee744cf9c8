"""A web service that has ranks and a dashboard: ``LOOP SHUTDOWN_TIMEOUT SCRIPT...``, under uvicorn.

Says ``serving PORT`` when it answers. ``/wait`` answers when the ranks have ended, or not at all. SERVICE_TOKEN in the
environment opens the actions. ``/many`` has two runs, one of which is never there.
"""

import contextlib
import os
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from tests.helpers.ranks import redirected
from tests.helpers.supervisors import one_for_one

import aelastic
import aelastic.web

loop, timeout, *scripts = sys.argv[1:]


async def wait(request: Request) -> Response:
    """For the end of the ranks, as long as somebody wants to know."""
    result = await aelastic.web.until_disconnect(request, request.state.workers.wait())
    return JSONResponse(result.exitcodes)


def start() -> aelastic.Supervisor:
    """The ranks."""
    return one_for_one(
        *scripts, name="workers", shutdown_timeout=float(timeout), logs_specs=redirected(Path(logs.name))
    )


class Server(uvicorn.Server):
    """Tells when it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As ever."""
        await super().startup(sockets)
        assert self.started
        print(f"serving {listener.getsockname()[1]}\n", end="", flush=True)


logs = tempfile.TemporaryDirectory()
workers = aelastic.web.lifespan(start, "workers")
DASHBOARD = Mount("/ranks", aelastic.web.dashboard(workers, token=os.environ.get("SERVICE_TOKEN")))
MANY = Mount("/many", aelastic.web.dashboard({"a <b>&?#%2e": workers, "later": lambda: None}))
app = Starlette(routes=[Route("/wait", wait), DASHBOARD, MANY], lifespan=workers)
listener = socket.create_server(("127.0.0.1", 0))
with contextlib.suppress(KeyboardInterrupt):  # as uvicorn.run does
    Server(uvicorn.Config(app, loop=loop, log_level="warning")).run([listener])
