"""Waiting for what goes on by itself, by tasks that may be cancelled."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Protocol

import anyio


class Stoppable(Protocol):
    """What comes to an end when it is told to: ``finished`` is done then."""

    finished: asyncio.Future[Any]

    def stop(self) -> None:
        """Walk the stop ladder."""

    def kill(self) -> None:
        """Skip the rest of the grace."""


async def wait_or_stop(
    run: Stoppable, future: asyncio.Future[Any], timeout: float | None, *, stopping: bool = False
) -> None:
    """Wait for ``future``; when cancelled, stop ``run`` (``stopping``: kill it) and leave when it is over."""
    # An anyio scope cancels what is in it again and again: what made us stop is not also a reason to hurry.
    known = stopping and anyio.current_effective_deadline() == -math.inf
    try:
        with anyio.CancelScope(shield=known):
            await _until_done(future, timeout)
    except asyncio.CancelledError:
        if stopping:
            run.kill()
        else:
            run.stop()
        with anyio.CancelScope(shield=True):
            await _outlast(run)
        raise


async def _until_done(future: asyncio.Future[Any], timeout: float | None) -> None:
    if timeout is not None:
        await asyncio.wait({future}, timeout=timeout)
        return
    while not future.done():
        await asyncio.wait({future})


async def _outlast(run: Stoppable) -> None:
    """Until the run is over, however often this task is cancelled; a cancellation cuts the grace short."""
    while not run.finished.done():
        try:
            await asyncio.wait({run.finished})
        except asyncio.CancelledError:
            run.kill()
