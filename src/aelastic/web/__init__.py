"""Ranks in a browser: a dashboard to mount in any ASGI application, and help for services that have ranks.

Needs ``pip install 'aelastic[web]'``.
"""

from aelastic.web.dashboard import dashboard
from aelastic.web.disconnect import until_disconnect
from aelastic.web.lifespan import Lifespan, lifespan

__all__ = ["Lifespan", "dashboard", "lifespan", "until_disconnect"]
