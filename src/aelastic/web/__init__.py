"""Ranks in a browser: a dashboard to mount in any ASGI application, and help for services that have ranks.

Needs ``pip install 'aelastic[web]'``.
"""

try:
    from aelastic.web.dashboard import dashboard
    from aelastic.web.disconnect import until_disconnect
    from aelastic.web.lifespan import Lifespan, lifespan
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"aelastic.web needs {error.name}: pip install 'aelastic[web]'", name=error.name
    ) from error

__all__ = ["Lifespan", "dashboard", "lifespan", "until_disconnect"]
