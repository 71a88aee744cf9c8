"""What the server is about to do, which ASGI has no word for."""

from __future__ import annotations

import signal


def is_shutting_down() -> bool:
    """Whether uvicorn was told to stop. It waits for open responses then, and an endless one would never end.

    Its ``Server`` handles the signals in a method of its own, and nothing else tells of it. Other servers
    (hypercorn, daphne) end such responses by themselves.
    """
    handler = signal.getsignal(signal.SIGTERM)
    return getattr(getattr(handler, "__self__", None), "should_exit", False) is True
