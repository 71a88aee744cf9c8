"""Running an ``async def`` entry point in a rank."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run_coroutine(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` under ``asyncio.run``; SIGTERM cancels it, so that its ``finally`` blocks run within the grace.

    A rank that ends so ends by SIGTERM, as it would without the grace.
    """
    terminated = False

    async def main() -> Any:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        raise
