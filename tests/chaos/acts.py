"""What the application does while its gang runs. Each act ends when its gang is over, but for one that drops it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING

import anyio

from aelastic import NotRunningError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.chaos.stage import Stage

LONGEST_WAIT = 2.0  # seconds for what need not end by itself


class Mishap(Exception):
    """What goes wrong in the application itself."""


async def perform(stage: Stage) -> None:
    """Play the act of the plan; afterwards the gang is over. An error of a start that must fail is noted."""
    try:
        await ACTS[stage.plan.act.kind](stage)
    except Mishap:
        pass
    except Exception as error:
        if stage.started:
            raise
        stage.start_error = error


async def _waits(stage: Stage) -> None:
    async with stage.entered() as ctx:
        await ctx.wait()


async def _closes(stage: Stage) -> None:
    async with stage.entered():
        await asyncio.sleep(stage.plan.act.at)


async def _closes_twice(stage: Stage) -> None:
    act = stage.plan.act
    async with stage.entered() as ctx:
        await asyncio.sleep(act.at)
        stage.note_stop(act.stop_signal)
        await asyncio.gather(ctx.close(), ctx.close(act.stop_signal, act.grace), ctx.wait())


async def _raises(stage: Stage) -> None:
    async with stage.entered():
        await asyncio.sleep(stage.plan.act.at)
        raise Mishap


async def _cancels(stage: Stage) -> None:
    await _cancel(stage, twice=False)


async def _cancels_twice(stage: Stage) -> None:
    await _cancel(stage, twice=True)


async def _cancels_the_start(stage: Stage) -> None:
    await _cancel(stage, twice=stage.plan.act.again > 0.1, soon=0.1)


async def _cancel(stage: Stage, *, twice: bool, soon: float = 1.0) -> None:
    """Cancel natively. A task that was not over then must end cancelled."""
    act = stage.plan.act
    task = asyncio.create_task(_waits(stage))
    await asyncio.wait({task}, timeout=act.at * soon)
    stage.note_stop()
    cancelled = task.cancel()
    if twice:
        await asyncio.wait({task}, timeout=act.again)
        task.cancel()
    await asyncio.wait({task})
    if cancelled and not task.cancelled():
        stage.complaints.append(f"a cancellation was swallowed: {task}")
    if not task.cancelled():
        await task


async def _scope(stage: Stage) -> None:
    stage_end = time.monotonic() + stage.plan.act.at
    with anyio.move_on_after(stage.plan.act.at) as scope:
        await _waits(stage)
    if scope.cancelled_caught:
        stage.note_stop()
        stage.stop_at = min(stage_end, stage.stop_at or stage_end)


async def _times_out(stage: Stage) -> None:
    stage_end = time.monotonic() + stage.plan.act.at
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(stage.plan.act.at):
            await _waits(stage)
        return
    stage.note_stop()
    stage.stop_at = min(stage_end, stage.stop_at or stage_end)


async def _requests_a_stop(stage: Stage) -> None:
    act = stage.plan.act
    async with stage.entered() as ctx:
        asyncio.get_running_loop().call_later(act.at, _request, stage)
        await ctx.wait()


async def _stops_the_start(stage: Stage) -> None:
    timer = asyncio.get_running_loop().call_later(stage.plan.act.at * 0.1, _request, stage)
    try:
        async with stage.entered() as ctx:
            await ctx.wait()
    except NotRunningError as error:
        stage.start_error = error
    finally:
        timer.cancel()


def _request(stage: Stage) -> None:
    act = stage.plan.act
    stage.note_stop(act.stop_signal)
    if "ctx" in vars(stage):  # else it is all over
        stage.ctx.request_stop(act.stop_signal if act.again > 0.1 else None, act.grace)


async def _signals(stage: Stage) -> None:
    act = stage.plan.act
    async with stage.entered() as ctx:
        await ctx.wait(act.at)
        stage.send(act.signal, act.rank)
        await ctx.wait(LONGEST_WAIT)


async def _polls(stage: Stage) -> None:
    until = time.monotonic() + LONGEST_WAIT
    async with stage.entered() as ctx:
        while await ctx.wait(0.05) is None and time.monotonic() < until:
            await ctx.wait(0)


async def _drops(stage: Stage) -> None:
    await stage.ctx.start()
    stage.note_start()
    await asyncio.sleep(stage.plan.act.at)
    stage.note_stop()
    del stage.ctx
    gc.collect()
    while own := [task for task in asyncio.all_tasks() if task.get_name().startswith(f"aelastic-{stage.plan.name}")]:
        await asyncio.wait(own)


ACTS: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "waits": _waits,
    "closes": _closes,
    "closes twice": _closes_twice,
    "cancels": _cancels,
    "cancels twice": _cancels_twice,
    "cancels the start": _cancels_the_start,
    "scope": _scope,
    "times out": _times_out,
    "raises": _raises,
    "requests a stop": _requests_a_stop,
    "stops the start": _stops_the_start,
    "signals": _signals,
    "polls": _polls,
    "drops": _drops,
}
