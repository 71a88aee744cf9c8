"""Somebody attacks the guardian."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from tests.helpers.guardians import guardians_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.plan import Assault
    from tests.chaos.stage import Stage

_PATIENCE = 1.5  # seconds for another guardian to take over


async def attack(assault: Assault | None, stages: Sequence[Stage]) -> list[str]:
    """Do it, and see to it that a killed guardian is replaced as long as there is somebody to guard."""
    if assault is None:
        return []
    await asyncio.sleep(assault.at)
    hit = set(guardians_of(os.getpid()))
    for pid in hit:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, assault.signal)
    if assault.signal == signal.SIGSTOP or not hit:
        return []
    until = time.monotonic() + _PATIENCE
    while _anybody_runs(stages) and time.monotonic() < until:
        if set(guardians_of(os.getpid())) - hit:
            return []
        await asyncio.sleep(0.01)
    return [f"the guardian {hit} was not replaced"] if _anybody_runs(stages) else []


def _anybody_runs(stages: Sequence[Stage]) -> bool:
    return any(stage.started and not stage.over_at for stage in stages)
