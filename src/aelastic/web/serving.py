"""An application of which a rank is a worker."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from aelastic import rank
from aelastic.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

_STARTUP_FAILURE = 3  # uvicorn's


def serve(app: str | Callable[..., Any], *, drain_time: float = 1.0, **options: Any) -> None:
    """Serve ``app`` with uvicorn until this process is told to end. For programs that are ranks.

        aelastic.web.serve("shop:app", log_level="warning")

    It serves on the sockets that the rank shares (``sockets=``), or, where there are none, on uvicorn's ``host`` and
    ``port``. It says that the rank is ready once the application has started and connections are taken, sends the
    heartbeats of a watchdog while the loop turns, and, told to end by SIGTERM or SIGINT, turns away nobody:

    - it takes no more connections; they are left to those who share the socket;
    - who is connected is served, with ``Connection: close``, for at most ``drain_time`` seconds, less when all are gone
      before (of TLS, always so long). A connection that has then asked nothing is closed;
    - then uvicorn stops as ever: it waits for the responses that are not complete (``timeout_graceful_shutdown``),
      and ends the lifespan. A second SIGINT ends both waits.

    What may still meet a closed connection is a client that asks again on one that it kept, in the very moment in which
    it is closed: one that had asked nothing during ``drain_time``, or whose last response had begun before the stop
    and ended after ``drain_time``. HTTP lets it repeat an idempotent request by itself (RFC 9112, 9.3.1 and 9.5).

    Args:
        app: An ASGI application, or where to import it from, such as ``"module:app"``.
        drain_time: In seconds. A supervisor's ``shutdown_timeout`` must be longer than this and the longest response.
        options: Those of ``uvicorn.Config``.

    Raises:
        InvalidArgumentError: For ``workers`` and ``reload``, as each rank is one worker; ``drain_time`` is negative.
        ModuleNotFoundError: uvicorn is not installed.
        SystemExit: The application has not started.
    """
    if theirs := options.keys() & {"workers", "reload"}:
        raise InvalidArgumentError(f"serve: {min(theirs)} is not for a rank, which is one worker; start more")
    if not drain_time >= 0:
        raise InvalidArgumentError(f"serve: drain_time is not negative, got {drain_time!r}")
    try:
        import uvicorn

        from aelastic.web.worker import Worker
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("aelastic.web.serve needs uvicorn: pip install uvicorn", name=error.name) from error
    worker = Worker(uvicorn.Config(app, **options), drain_time)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again when it has stopped
        worker.run(rank.sockets() or None)
    if not worker.started:
        sys.exit(_STARTUP_FAILURE)
