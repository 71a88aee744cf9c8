"""Cancellation: the whole ladder is walked first, a second one skips the rest of the grace, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import aelastic
from aelastic.process.launch import launch
from tests.helpers.ranks import child, is_alive, line_of, redirected, shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"
GRACE_NEEDED = "0.15"


class Saving:
    """A rank that needs its grace to write a checkpoint."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "checkpoint"
        self.context = shell(child("exits_slowly", GRACE_NEEDED, str(self.file)), logs_specs=redirected(tmp_path))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[aelastic.PContext]:
        """The context, once the rank is ready for what comes. At the end it has had its grace."""
        async with self.context as ctx:
            await line_of(ctx, "ready")
            yield ctx

    def assert_saved(self) -> None:
        """The grace was given."""
        result = self.context._context.result
        assert self.file.exists(), f"the rank did not write its checkpoint: {result}"
        assert self.file.read_text() == "complete"


@pytest.fixture
def saving(tmp_path: Path) -> Saving:
    """A rank that needs its grace."""
    return Saving(tmp_path)


async def deaf(tmp_path: Path) -> aelastic.SubprocessContext:
    """A started context whose rank ignores SIGTERM, and has ten minutes to do so."""
    ctx = await shell(child("ignores_term"), logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await line_of(ctx, "ready")
    return ctx


async def in_task(work: Awaitable[Any]) -> asyncio.Task[Any]:
    """``work`` in a task of its own that has got as far as its first wait."""

    async def run() -> Any:
        return await work

    task = asyncio.create_task(run())
    for _ in range(3):
        await asyncio.sleep(0)
    return task


async def iterate(ctx: aelastic.PContext, what: str) -> None:
    """Consume events or lines for ever."""
    async for _ in getattr(ctx, what)():
        pass


WAYS_TO_WAIT: dict[str, Callable[[aelastic.PContext], Awaitable[Any]]] = {
    "wait": lambda ctx: ctx.wait(),
    "wait with timeout": lambda ctx: ctx.wait(600),
    "sleep": lambda ctx: asyncio.sleep(600),
    "events": lambda ctx: iterate(ctx, "events"),
    "logs": lambda ctx: iterate(ctx, "logs"),
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
async def test_cancelling_once_gives_the_grace(way: str, saving: Saving) -> None:
    waiting = asyncio.Event()

    async def supervise() -> None:
        async with saving.running() as ctx:
            waiting.set()
            await WAYS_TO_WAIT[way](ctx)

    task = await in_task(supervise())
    await waiting.wait()
    task.cancel("mine")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    saving.assert_saved()


async def test_a_cancelled_wait_stops_the_ranks_before_it_leaves(saving: Saving) -> None:
    async with saving.running() as ctx:
        waiter = await in_task(ctx.wait())
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not is_alive(ctx.pids()[0])
        assert ctx.result is not None
        assert ctx.result.exitcodes == {0: 0}
    saving.assert_saved()


@pytest.mark.parametrize("times", [2, 3, 20])
async def test_cancelling_again_kills_at_once(times: int, tmp_path: Path) -> None:
    ctx = await deaf(tmp_path)
    waiter = await in_task(ctx.wait())
    for _ in range(times):
        waiter.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not is_alive(ctx.pids()[0])
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -9}


async def test_cancelling_twice_in_one_turn_of_the_loop_is_one_cancellation(saving: Saving) -> None:
    async with saving.running() as ctx:
        waiter = await in_task(ctx.wait())
        waiter.cancel()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    saving.assert_saved()


async def test_the_other_waiters_of_a_cancelled_run_get_its_result() -> None:
    async with shell(SLEEPING) as ctx:
        cancelled, other = await in_task(ctx.wait()), await in_task(ctx.wait())
        cancelled.cancel()
        result = await other
        assert result.exitcodes == {0: -15}
        with pytest.raises(asyncio.CancelledError):
            await cancelled


# What cancels in everyday code


async def test_a_timeout_gives_the_grace(saving: Saving) -> None:
    async with saving.running() as ctx:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01) as timeout:
                await ctx.wait()
        assert timeout.expired()
        assert not is_alive(ctx.pids()[0])
    saving.assert_saved()


async def test_a_timeout_around_the_block_gives_the_grace(saving: Saving) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as timeout, saving.running():
            timeout.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(600)
    assert timeout.expired()
    saving.assert_saved()


async def test_wait_for_gives_the_grace(saving: Saving) -> None:
    async with saving.running() as ctx:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.wait(), 0.01)
        assert not is_alive(ctx.pids()[0])
    saving.assert_saved()


async def test_a_failing_sibling_in_a_task_group_gives_the_grace(saving: Saving) -> None:
    started = asyncio.Event()

    async def supervise() -> None:
        async with saving.running() as ctx:
            started.set()
            await ctx.wait()

    async def fail() -> None:
        await started.wait()
        raise ZeroDivisionError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            supervising = group.create_task(supervise())
            group.create_task(fail())
    assert supervising.cancelled()
    saving.assert_saved()


async def test_an_exception_in_the_block_gives_the_grace_and_goes_on(saving: Saving) -> None:
    with pytest.raises(ZeroDivisionError):
        async with saving.running():
            raise ZeroDivisionError
    saving.assert_saved()


# anyio cancels again and again until the scope is left


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
async def test_an_anyio_scope_around_the_block_gives_the_grace(way: str, saving: Saving) -> None:
    with anyio.CancelScope() as scope:
        async with saving.running() as ctx:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await WAYS_TO_WAIT[way](ctx)
    assert scope.cancelled_caught
    saving.assert_saved()


async def test_an_anyio_scope_in_the_block_gives_the_grace(saving: Saving) -> None:
    async with saving.running() as ctx:
        with anyio.move_on_after(0.01) as scope:
            await ctx.wait()
        assert scope.cancelled_caught
        assert not is_alive(ctx.pids()[0])
    saving.assert_saved()


async def test_fail_after_gives_the_grace(saving: Saving) -> None:
    with contextlib.suppress(TimeoutError), anyio.fail_after(600) as scope:
        async with saving.running():
            scope.deadline = anyio.current_time()
            await anyio.sleep(600)
    assert scope.cancelled_caught
    saving.assert_saved()


async def test_nested_anyio_scopes_give_the_grace(saving: Saving) -> None:
    with anyio.CancelScope() as outer, anyio.CancelScope() as inner:
        async with saving.running() as ctx:
            with anyio.CancelScope() as innermost:
                for scope in (innermost, inner, outer):
                    asyncio.get_running_loop().call_soon(scope.cancel)
                await ctx.wait()
    assert outer.cancel_called
    saving.assert_saved()


async def test_a_cancelled_anyio_scope_that_is_shielded_from_is_no_hurry(saving: Saving) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            async with saving.running():
                pass
    saving.assert_saved()


async def test_a_failing_sibling_in_an_anyio_task_group_gives_the_grace(saving: Saving) -> None:
    started = anyio.Event()

    async def supervise() -> None:
        async with saving.running():
            started.set()
            await anyio.sleep(600)

    async def fail() -> None:
        await started.wait()
        raise ZeroDivisionError

    with contextlib.suppress(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(supervise)
            group.start_soon(fail)
    assert group.cancel_scope.cancel_called
    saving.assert_saved()


async def test_a_task_cancelled_in_a_cancelled_anyio_scope_kills_at_once(tmp_path: Path) -> None:
    ctx = await deaf(tmp_path)

    async def supervise() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with contextlib.aclosing(Closing(ctx)):
                await anyio.sleep(600)

    task = await in_task(supervise())
    for _ in range(10):
        await asyncio.sleep(0)
    assert is_alive(ctx.pids()[0])  # it has its grace
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -9}


class Closing:
    """What ``aclosing`` wants."""

    def __init__(self, ctx: aelastic.PContext) -> None:
        self.aclose = ctx.close


async def test_the_task_is_as_good_as_new_after_a_scope_was_cancelled() -> None:
    for _ in range(3):
        with anyio.CancelScope() as scope:
            async with shell(SLEEPING) as ctx:
                scope.cancel()
                await ctx.wait()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)


# Starts that are cancelled


async def test_a_cancelled_start_gives_the_ranks_their_grace(
    saving: Saving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Any] = []

    async def launch_slowly(*args: Any) -> Any:
        if launched:
            await line_of(ctx, "ready")
            starting.cancel()
        launched.append(args)
        return await launch(*args)

    monkeypatch.setattr("aelastic.conduct.workload.launch", launch_slowly)
    args = {rank: ("-c", child("exits_slowly", GRACE_NEEDED, str(tmp_path / "checkpoint"))) for rank in range(3)}
    ctx = aelastic.SubprocessContext("w", "/bin/sh", args, {0: {}, 1: {}, 2: {}}, redirected(tmp_path))
    starting = asyncio.create_task(ctx.start())
    await asyncio.wait({starting})
    assert starting.cancelled()
    assert len(launched) == 2
    saving.assert_saved()
