"""The application that is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

import aelastic
from aelastic.errors.base import InvalidArgumentError
from aelastic.web.actions import Actions
from aelastic.web.answers import Guarded, json, tell_problem
from aelastic.web.health import HealthChecks
from aelastic.web.hubs import Hubs
from aelastic.web.lookup import Lookup
from aelastic.web.metrics import Metrics
from aelastic.web.operations import described
from aelastic.web.page import WithSlash, page_routes
from aelastic.web.reading import Reading
from aelastic.web.sources import Sources
from aelastic.web.stream import HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from aelastic.web.sources import Source

_LINGER = 30.0


def dashboard(
    source: Source | Mapping[str, Source],
    *,
    token: str | None = None,
    heartbeat: float = HEARTBEAT,
    linger: float = _LINGER,
) -> ASGIApp:
    """Ranks on a page, as a JSON API, as a stream of events, and for Prometheus: an ASGI application to mount::

        app.mount("/ranks", aelastic.web.dashboard(ctx))

    It has the page at ``/``, the API below ``api/``, described in ``openapi.json``, and ``healthz``, ``readyz`` and
    ``metrics``. Its requests are to be served by the loop that the ranks were started in. Whoever reaches it can read
    the logs: who may, is the application's business.

    Args:
        source: what is shown: what ``start_processes`` gives, a ``Supervisor``, a ``lifespan``, or a function that
            returns one of the first two, None while there is none; or a mapping of such by name (without a slash),
            which may change at any time.
        token: who sends it (``Authorization: Bearer ...``, at least 16 characters of ASCII) can stop runs, restart
            ranks and send them signals. None: nobody can.
        heartbeat: seconds of silence after which a stream says that it is there.
        linger: seconds that lines are read on after the last watcher, so that one that comes back has missed nothing.

    Raises ``InvalidArgumentError``.
    """
    if not (isinstance(heartbeat, int | float) and heartbeat > 0):
        raise InvalidArgumentError(f"heartbeat: expected more than 0 seconds, got {heartbeat!r}")
    if not (isinstance(linger, int | float) and linger >= 0):
        raise InvalidArgumentError(f"linger: expected 0 seconds or more, got {linger!r}")
    sources = Sources(source)
    lookup, hubs = Lookup(sources), Hubs(sources, linger)
    reading = Reading(sources, lookup, hubs, heartbeat, actions=token is not None)
    operations = (*reading.operations, *HealthChecks(sources).operations, *Metrics(sources, hubs).operations)
    if token is not None:
        operations += Actions(lookup, token).operations
    description = json(described(operations, aelastic.__version__))

    async def openapi(request: Request) -> Response:
        return description

    routes = [Route(one.path, one.handler, methods=[one.method], name=one.name) for one in operations]
    app = Starlette(
        routes=[*routes, Route("/openapi.json", openapi), *page_routes()],
        exception_handlers={HTTPException: tell_problem},
    )
    return Guarded(WithSlash(app))
