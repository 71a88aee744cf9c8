"""What the holder of the token can ask of ranks."""

from __future__ import annotations

import hmac
import logging
import signal
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from aelastic.elastic.supervisor import Supervisor
from aelastic.errors.base import InvalidArgumentError, NotRunningError
from aelastic.web.disconnect import CLIENT_CLOSED_REQUEST
from aelastic.web.operations import Operation
from aelastic.web.values import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from aelastic.web.lookup import Lookup
    from aelastic.web.operations import Handler
    from aelastic.web.sources import Watched

    Action = Callable[[Watched, Request], Awaitable[None]]

logger = logging.getLogger("aelastic.web")

SHORTEST_TOKEN = 16
_LARGEST_BODY = 1024


class Actions:
    """POST only, and with ``Authorization: Bearer <token>``, which no form or link of another site can send."""

    def __init__(self, lookup: Lookup, token: str) -> None:
        if not isinstance(token, str) or not (token.isascii() and token.isprintable()) or token != token.strip():
            raise InvalidArgumentError("token: expected printable ASCII without spaces around it, as headers can bring")
        if len(token) < SHORTEST_TOKEN:
            raise InvalidArgumentError(f"token: expected {SHORTEST_TOKEN} characters or more, got {len(token)}")
        self._lookup = lookup
        self._token = token.encode()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All of them."""
        rank = "/api/runs/{run}/ranks/{rank}"
        return (
            self._operation("stop", "/api/runs/{run}/stop", "Stop every rank by the ladder", _stop),
            self._operation("restart", f"{rank}/restart", "Stop the rank and start it afresh", _restart),
            self._operation("stop_rank", f"{rank}/stop", "Stop the rank until it is started", _stop_rank),
            self._operation("start_rank", f"{rank}/start", "Let a rank run again that has ended", _start_rank),
            self._operation("signal", f"{rank}/signal", "Send a signal to the rank and its family", _signal, Signal),
        )

    def _operation(self, name: str, path: str, about: str, action: Action, body: type | None = None) -> Operation:
        errors = {404: "There is no such run or rank", 409: "It cannot be done now", 422: "It cannot be done here"}
        if body is not None:
            errors[413] = "The body is too large"
        handler = self._guarded(name, action)
        return Operation(name, "POST", path, about, handler, body=body, errors=errors, needs_token=True)

    def _guarded(self, name: str, action: Action) -> Handler:
        async def handler(request: Request) -> Response:
            self._check(request)
            watched = self._lookup.watched(request)
            if "rank" in request.path_params:
                request.path_params["rank"] = self._lookup.rank(request, watched)
            logger.info("%s of %r asked for: %s", name, watched.name, request.path_params)
            try:
                await action(watched, request)
            except NotRunningError as error:
                raise HTTPException(409, str(error)) from error
            except InvalidArgumentError as error:
                raise HTTPException(422, str(error)) from error
            return Response(status_code=204)

        return handler

    def _check(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._token):
            raise HTTPException(401, "the token is missing or wrong", {"www-authenticate": "Bearer"})


async def _stop(watched: Watched, request: Request) -> None:
    """Not waited for: it may take the whole grace."""
    if watched.done:
        raise NotRunningError(f"{watched.name!r} has ended")
    watched.request_stop()


async def _restart(watched: Watched, request: Request) -> None:
    await _supervisor(watched).restart(request.path_params["rank"])


async def _stop_rank(watched: Watched, request: Request) -> None:
    await _supervisor(watched).stop(request.path_params["rank"])


async def _start_rank(watched: Watched, request: Request) -> None:
    await _supervisor(watched).start(request.path_params["rank"])


async def _signal(watched: Watched, request: Request) -> None:
    wanted = await _body(request)
    if wanted.signal not in signal.Signals.__members__:
        raise InvalidArgumentError(f"signal: expected a name such as SIGUSR1, got {wanted.signal[:50]!r}")
    watched.send_signal(signal.Signals[wanted.signal], request.path_params["rank"])


async def _body(request: Request) -> Signal:
    data = b""
    try:
        async for block in request.stream():
            data += block
            if len(data) > _LARGEST_BODY:
                raise HTTPException(413, f"the body has more than {_LARGEST_BODY} bytes")
        return msgspec.json.decode(data, type=Signal)
    except ClientDisconnect as error:  # which would be logged as a fault of the application
        raise HTTPException(CLIENT_CLOSED_REQUEST, "the client has gone away") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPException(422, f"the body is not what it should be: {error}") from error


def _supervisor(watched: Watched) -> Supervisor:
    if not isinstance(watched, Supervisor):
        raise InvalidArgumentError(f"{watched.name!r} is no supervisor: its ranks live and end together")
    return watched
