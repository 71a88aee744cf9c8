"""Stopping the ranks of an owner that nobody holds any more, or whose interpreter ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import warnings
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Owner(Protocol):
    """Has ranks in ``loop``. ``finished`` is done when they are gone."""

    loop: asyncio.AbstractEventLoop
    finished: asyncio.Future[Any]

    @property
    def stop(self) -> Callable[[], None]:
        """Walk the stop ladder, on the loop."""

    def stop_blocking(self) -> None:
        """The same ladder where no loop runs any more."""

    def kill_the_rest(self) -> None:
        """Where no time is left for the ladder."""


def stop_dropped(owner: Owner, name: str, patience: float) -> None:
    """Stop the ranks of ``owner``: on its loop if that runs, else by itself. ``patience``: seconds for the ladder."""
    if not owner.loop.is_running():
        owner.stop_blocking()
    elif threading.main_thread().is_alive():
        owner.loop.call_soon_threadsafe(owner.stop)
    else:  # the interpreter ends, and with it the daemon thread that the loop runs in
        _stop_from_outside(owner, patience)
    warnings.warn(f"run {name!r} was dropped without being closed", ResourceWarning, stacklevel=3)


def _stop_from_outside(owner: Owner, patience: float) -> None:
    """The same ladder, performed by the loop's own thread, while this one waits."""
    try:
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(_stop_and_wait(owner), owner.loop).result(patience)
    finally:
        owner.kill_the_rest()


async def _stop_and_wait(owner: Owner) -> None:
    owner.stop()
    await asyncio.wait({owner.finished})
