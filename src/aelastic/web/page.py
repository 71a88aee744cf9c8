"""The page and what belongs to it, from memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "log.js": "text/javascript; charset=utf-8",
    "text.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    media_type: str
    tag: str


def page_routes() -> list[Route]:
    """The page at ``/``, its files beside it. They are read once, now."""
    folder = resources.files("aelastic.web").joinpath("static")
    found = [(name, folder.joinpath(name).read_bytes(), media_type) for name, media_type in _TYPES.items()]
    assets = {name: _Asset(data, media, f'"{hashlib.sha256(data).hexdigest()[:16]}"') for name, data, media in found}
    page = _serve(assets["index.html"])
    return [
        Route("/", page),
        *(Route(f"/{name}", _serve(asset)) for name, asset in assets.items() if name != "index.html"),
    ]


def _serve(asset: _Asset) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        headers = {"etag": asset.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers={**headers, "content-type": asset.media_type})

    return serve


class WithSlash:
    """``app``, as a folder: without the slash after the prefix, relative addresses would lead beside it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] == "http" and scope["path"] in ("", prefix := scope.get("root_path", "")):
            await RedirectResponse(f"{(scope['path'] or prefix).rsplit('/', 1)[-1]}/")(scope, receive, send)
        else:
            await self._app(scope, receive, send)
