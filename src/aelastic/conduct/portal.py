"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from aelastic.errors.base import NotRunningError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")
_Opened: TypeAlias = "tuple[BlockingPortal, asyncio.AbstractEventLoop, asyncio.Event]"


class Portal:
    """A running loop, and the way into it from every other thread of this process."""

    def __init__(self, name: str) -> None:
        opened: Future[_Opened] = Future()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=anyio.run, args=(_live, opened), name=f"aelastic-{name}", daemon=True)
        try:
            self._thread.start()
            self._portal, self._loop, self._closing = opened.result()
        except BaseException:  # an interrupt: nobody will ever close it
            opened.add_done_callback(_end_at_once)
            raise

    @property
    def is_ours(self) -> bool:
        """Whether this process is the one with the loop, not a fork of it."""
        return os.getpid() == self._pid

    def submit(self, function: Callable[..., Awaitable[_T]], *args: Any) -> Future[_T]:
        """Call ``function`` in the loop. Cancelling the future cancels what it awaits.

        Raises ``NotRunningError`` in a fork of the process, which has no such thread, and after ``close``.
        """
        if not self.is_ours:
            raise NotRunningError("this belongs to the process that started it; a fork of that cannot use it")
        try:
            return self._portal.start_task_soon(function, *args)
        except RuntimeError as error:
            raise NotRunningError("it is closed, or this is the thread of its loop") from error

    def end_soon(self) -> None:
        """Let the calls that are being made come to an end, and then the loop. Waits for nothing: for finalizers."""
        if self.is_ours and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._closing.set)

    def close(self) -> None:
        """As ``end_soon``, and wait for it."""
        self.end_soon()
        if self.is_ours:
            self._thread.join()


def _end_at_once(opened: Future[_Opened]) -> None:
    _, loop, closing = opened.result()
    loop.call_soon_threadsafe(closing.set)


async def _live(opened: Future[_Opened]) -> None:
    closing = asyncio.Event()
    async with BlockingPortal() as portal:
        opened.set_result((portal, asyncio.get_running_loop(), closing))
        await closing.wait()
