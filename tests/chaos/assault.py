"""Somebody attacks the guardian."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.plan import Assault
    from tests.chaos.stage import Stage

_PATIENCE = 1.5  # seconds for another guardian to take over


def guardians_of(pid: int) -> set[int]:
    """The guardians among the children of the process; one that has ended is none."""
    found = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(one) for one in children.read_text().split() if _is_guardian(one)}
    return found


def _is_guardian(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return b"aelastic-guardian" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


async def attack(assault: Assault | None, stages: Sequence[Stage]) -> list[str]:
    """Do it, and see to it that a killed guardian is replaced as long as there is somebody to guard."""
    if assault is None:
        return []
    await asyncio.sleep(assault.at)
    hit = guardians_of(os.getpid())
    for pid in hit:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, assault.signal)
    if assault.signal == signal.SIGSTOP or not hit:
        return []
    until = time.monotonic() + _PATIENCE
    while _anybody_runs(stages) and time.monotonic() < until:
        if guardians_of(os.getpid()) - hit:
            return []
        await asyncio.sleep(0.01)
    return [f"the guardian {hit} was not replaced"] if _anybody_runs(stages) else []


def _anybody_runs(stages: Sequence[Stage]) -> bool:
    return any(stage.started and not stage.over_at for stage in stages)
