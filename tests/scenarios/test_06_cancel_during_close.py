"""6. Who closes is cancelled while a rank has its grace: the rank dies, another close changes nothing."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.helpers.ranks import is_alive, line_of, redirected
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, ranks

if TYPE_CHECKING:
    from pathlib import Path

    import aelastic
    from tests.scenarios.kinds import Kind

pytestmark = pytest.mark.asyncio


async def deaf(kind: Kind, tmp_path: Path, count: int = 1, grace: float = 600) -> aelastic.PContext:
    """Started ranks that ignore SIGTERM, and have ``grace`` seconds to do so."""
    args: list[tuple[()]] = [()] * count
    specs = redirected(tmp_path)
    ctx = await ranks(kind, vices.ignores_the_polite, *args, logs_specs=specs, shutdown_timeout=grace)
    for rank in range(count):
        await line_of(ctx, "ready", rank)
    return ctx


async def begun(ctx: aelastic.PContext) -> asyncio.Task[None]:
    """A task that closes, and has told the ranks."""
    closing = asyncio.create_task(ctx.close())
    for _ in range(3):
        await asyncio.sleep(0)
    return closing


def assert_killed(ctx: aelastic.PContext) -> None:
    """Every rank, and the result says so."""
    assert not [pid for pid in ctx.pids().values() if is_alive(pid)]
    assert ctx.result is not None
    assert set(ctx.result.exitcodes.values()) == {-signal.SIGKILL}


@each_kind
async def test_cancelling_close_skips_the_rest_of_the_grace(kind: Kind, tmp_path: Path) -> None:
    ctx = await deaf(kind, tmp_path, count=2)
    closing = await begun(ctx)
    closing.cancel("mine")
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert_killed(ctx)
    result = ctx.result
    await ctx.close()
    assert await ctx.wait() is ctx.result is result


async def test_cancelling_close_again_and_again(tmp_path: Path) -> None:
    ctx = await deaf("program", tmp_path)
    closing = await begun(ctx)
    while not closing.done():
        closing.cancel()
        await asyncio.sleep(0)
    assert closing.cancelled()
    assert_killed(ctx)


async def test_cancelling_one_of_two_that_close(tmp_path: Path) -> None:
    ctx = await deaf("program", tmp_path)
    one, other = await begun(ctx), await begun(ctx)
    one.cancel()
    await other
    assert_killed(ctx)
    await asyncio.wait({one})
    assert one.cancelled()


async def test_cancelling_a_waiter_gives_the_grace_although_somebody_closes(tmp_path: Path) -> None:
    ctx = await deaf("program", tmp_path, grace=0.5)
    waiting = asyncio.create_task(ctx.wait())
    closing = await begun(ctx)
    waiting.cancel()
    assert await asyncio.wait({closing}, timeout=0.1) == (set(), {closing})
    assert is_alive(ctx.pids()[0])
    await closing
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert_killed(ctx)


async def test_cancelling_while_the_block_is_left_kills_at_once(tmp_path: Path) -> None:
    ctx = await deaf("program", tmp_path)

    async def supervise() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            await ctx.close()

    task = asyncio.create_task(supervise())
    for _ in range(3):
        await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_killed(ctx)


@each_kind
async def test_an_anyio_scope_around_close_skips_the_rest_of_the_grace(kind: Kind, tmp_path: Path) -> None:
    ctx = await deaf(kind, tmp_path)
    with anyio.move_on_after(0.01) as scope:
        await ctx.close()
    assert scope.cancelled_caught
    assert_killed(ctx)


async def test_sixty_four_deaf_ranks_die_when_close_is_cancelled(tmp_path: Path) -> None:
    ctx = await deaf("fork", tmp_path, count=64)
    closing = await begun(ctx)
    closing.cancel()
    await asyncio.wait({closing})
    assert_killed(ctx)
