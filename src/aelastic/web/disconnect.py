"""Requests whose client does not wait any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from anyio import CancelScope
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request
    from starlette.types import Receive

_T = TypeVar("_T")
CLIENT_CLOSED_REQUEST = 499  # nginx's


async def until_disconnect(request: Request, awaitable: Awaitable[_T]) -> _T:
    """What ``awaitable`` gives; it is cancelled when the client of ``request`` goes away before.

    No server does that by itself: without it, a handler goes on for nobody. So in a handler::

        result = await aelastic.web.until_disconnect(request, ctx.wait())  # which stops the ranks when cancelled

    Read the body of the request before. A server that is told to stop waits for its handlers, this one too, unless it
    is told how long (uvicorn: ``--timeout-graceful-shutdown``).

    Raises Starlette's ``HTTPException`` when what was cancelled is over: an answer that nobody gets, and no error.
    """
    scope = CancelScope()
    leaving = asyncio.create_task(_cancel_when_gone(request.receive, scope))
    try:
        with scope:
            return await awaitable
    finally:
        leaving.cancel()
        await asyncio.wait({leaving})
    raise HTTPException(CLIENT_CLOSED_REQUEST, "the client has gone away")


async def disconnected(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    await disconnected(receive)
    scope.cancel()
