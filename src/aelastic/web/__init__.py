"""Ranks in a web service: a dashboard to mount in any ASGI application, ranks that live as long as a service, and ranks
that are its workers.

The dashboard needs ``pip install 'aelastic[web]'``, a worker needs uvicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from aelastic.web.disconnect import until_disconnect
    from aelastic.web.lifetime import Lifespan, lifespan
    from aelastic.web.mounted import dashboard
    from aelastic.web.serving import serve

_NAMES = {
    "aelastic.web.disconnect": ("until_disconnect",),
    "aelastic.web.lifetime": ("Lifespan", "lifespan"),
    "aelastic.web.mounted": ("dashboard",),
    "aelastic.web.serving": ("serve",),
}

__all__ = ["Lifespan", "dashboard", "lifespan", "serve", "until_disconnect"]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, _NAMES, extra="web")
