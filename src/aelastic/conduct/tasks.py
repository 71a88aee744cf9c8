"""Tasks that finish what they have begun."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class OwnTask(asyncio.Task[None]):
    """A task of the library's own. Cancelling it is a request to its owner, not an exception in the middle of its work.

    ``asyncio.run`` cancels every task when it ends and waits for them: for us that is the time to stop the ranks and
    to write out their last lines, which a ``CancelledError`` at some await would prevent. In a fork of the application
    there is nothing to finish, and cancelling is what it always was.
    """

    def __init__(self, work: Coroutine[Any, Any, None], name: str, on_cancel: Callable[[], None]) -> None:
        super().__init__(work, loop=asyncio.get_running_loop(), name=name)
        self._on_cancel = on_cancel
        self._pid = os.getpid()

    def cancel(self, msg: Any | None = None) -> bool:
        """Tell the owner. False: the task was not cancelled."""
        if os.getpid() != self._pid:
            return super().cancel(msg)
        self._on_cancel()
        return False

    def give_up(self) -> None:
        """Cancel it as any other task: for its owner, when what it waits for does not come."""
        super().cancel()
