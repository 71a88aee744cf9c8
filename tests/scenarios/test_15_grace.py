"""15. The grace is the same on every path, and each rank's own: a deaf peer does not eat it.

Paths: a signal, a failing peer, a cancellation, the end of the block, ``close``, a context that is dropped. What the
interpreter's and the loop's end give is in ``tests/live/test_dropped.py`` and ``tests/live/test_loops.py``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING, TypeAlias

import pytest

import aelastic
from tests.helpers.ranks import line_of, redirected
from tests.scenarios import vices
from tests.scenarios.kinds import ranks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.scenarios.kinds import Kind

    Walk: TypeAlias = Callable[[aelastic.PContext], Awaitable[None]]

pytestmark = pytest.mark.asyncio

NEEDED = 0.3  # seconds for a checkpoint
GRACE = 1.0
LATE = 3.0  # more than the grace, on a busy machine


async def by_signal(ctx: aelastic.PContext) -> None:
    with aelastic.handle_signals(ctx, [signal.SIGTERM]):
        os.kill(os.getpid(), signal.SIGTERM)
        await ctx.wait()


async def by_a_failing_peer(ctx: aelastic.PContext) -> None:
    ctx.send_signal(signal.SIGKILL, rank=2)
    await ctx.wait()


async def by_cancellation(ctx: aelastic.PContext) -> None:
    waiting = asyncio.create_task(ctx.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def by_the_end_of_the_block(ctx: aelastic.PContext) -> None:
    await ctx.__aexit__(None, None, None)


async def by_close(ctx: aelastic.PContext) -> None:
    await ctx.close()


PATHS: list[Walk] = [
    by_a_failing_peer,
    by_cancellation,
    by_the_end_of_the_block,
    by_close,
]


async def started(kind: Kind, stage: Path) -> aelastic.PContext:
    """Rank 0 needs its grace for a checkpoint, rank 1 is deaf, rank 2 sleeps."""
    parts = ("saves", str(stage / "checkpoint"), str(NEEDED)), ("is deaf", str(stage / "asked")), ("sleeps",)
    specs = redirected(stage / "logs")
    ctx = await ranks(kind, vices.has_a_part, *parts, logs_specs=specs, shutdown_timeout=GRACE)
    for rank in range(3):
        await line_of(ctx, "ready", rank)
    return ctx


def assert_grace_was_given(stage: Path, events: list[aelastic.Event]) -> None:
    """Rank 0 had the time that it needed, and rank 1 the whole grace."""
    exits = {event.rank: event for event in events if isinstance(event, aelastic.RankExited)}
    assert {rank: event.exitcode for rank, event in exits.items()} in (
        {0: 0, 1: -signal.SIGKILL, 2: -signal.SIGTERM},
        {0: 0, 1: -signal.SIGKILL, 2: -signal.SIGKILL},  # who was made to fail
    )
    assert (stage / "checkpoint").read_text() == "complete"
    given = exits[1].time - float((stage / "asked").read_text())
    assert GRACE - 0.05 < given < LATE


@pytest.mark.filterwarnings("ignore:start_method='fork'")  # Python 3.11 watches each program in a thread
@pytest.mark.parametrize("kinds", [("program", "spawn"), ("fork", "forkserver")], ids=" and ".join)
async def test_the_grace_is_the_same_on_every_path(kinds: tuple[Kind, ...], tmp_path: Path) -> None:
    async def walk(kind: Kind, path: Walk) -> None:
        stage = tmp_path / kind / path.__name__
        stage.mkdir(parents=True)
        ctx = await started(kind, stage)
        await path(ctx)
        assert_grace_was_given(stage, [event async for event in ctx.events()])

    walks = [walk(kind, path) for kind in kinds for path in PATHS]
    await asyncio.gather(walk(kinds[0], by_signal), *walks)  # together: a grace takes its time


async def test_a_dropped_context_gives_the_grace(tmp_path: Path) -> None:
    contexts = [await started("program", tmp_path)]
    events = contexts[0].events()
    with pytest.warns(ResourceWarning, match="dropped"):
        drop(contexts)
    assert_grace_was_given(tmp_path, [event async for event in events])


def drop(contexts: list[aelastic.PContext]) -> None:
    """Lose them."""
    contexts.clear()
    gc.collect()
