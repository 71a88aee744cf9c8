"""5. A storm of cancellations, at any await, also in the middle of a launch: nothing hangs, nothing is left.

``AELASTIC_TEST_FULL=1`` tries a thousand seeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import anyio
import pytest

import aelastic
from tests.helpers.ranks import is_alive, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import METHODS, each_method, in_full, ranks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.kinds import AnyStarting, Method

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"
SHORT_SCRIPTS = ["exit 0", "sleep 0.01", "exit 3", "echo words; sleep 0.02"]
SHORT_VICES = [(0,), (10,), (0, "exits", 3), (0, "raises"), (20, "is killed", 9)]


def short_programs(chance: random.Random, tmp_path: Path) -> AnyStarting:
    """One or two ranks that end soon, some of them badly, some with logs."""
    scripts = chance.choices(SHORT_SCRIPTS, k=chance.randint(1, 2))
    return shell(*scripts, logs_specs=redirected(tmp_path) if chance.random() < 0.5 else None)


def short_functions(chance: random.Random, tmp_path: Path) -> AnyStarting:
    """The same as functions, started in any way."""
    method: Method = chance.choices(METHODS, weights=[1, 3, 3])[0]
    args = chance.choices(SHORT_VICES, k=chance.randint(1, 2))
    return ranks(method, vices.is_short, *args, logs_specs=redirected(tmp_path))


async def short_run(starting: AnyStarting, timeout: float | None) -> None:
    """Wait for the end, or for some time."""
    async with starting as ctx:
        await ctx.wait(timeout)


async def storm(seed: int, tmp_path: Path, programs: int, functions: int) -> None:
    """Cancel runs at random; what was cancelled is, in the end. Often the whole group is cancelled on top."""
    chance = random.Random(seed)
    makers = [short_programs] * programs + [short_functions] * functions
    cancelled: set[asyncio.Task[None]] = set()
    tasks: list[asyncio.Task[None]] = []
    with contextlib.suppress(ExceptionGroup, TimeoutError):
        async with asyncio.timeout(chance.random() * 0.15), asyncio.TaskGroup() as group:
            for maker in makers:
                run = short_run(maker(chance, tmp_path), chance.choice([None, 0.01]))
                tasks.append(group.create_task(run))
            while alive := [task for task in tasks if not task.done()]:
                one = chance.choice(alive)
                one.cancel()
                cancelled.add(one)
                for _ in range(chance.randint(1, 200)):
                    await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    assert all(task.cancelled() for task in cancelled)
    assert asyncio.all_tasks() - {asyncio.current_task()} == set()


@pytest.mark.parametrize("seed", range(in_full(8, 1000)))
async def test_a_storm_of_cancellations_leaves_nothing(seed: int, tmp_path: Path) -> None:
    await storm(seed, tmp_path, programs=20, functions=0)


@pytest.mark.filterwarnings("ignore:start_method='fork'")  # Python 3.11 watches each program in a thread
@pytest.mark.parametrize("seed", range(in_full(4, 1000)))
async def test_a_storm_over_programs_and_functions_leaves_nothing(seed: int, tmp_path: Path) -> None:
    await storm(seed, tmp_path, programs=10, functions=10)


# Starts


async def cancelled_start(starting: AnyStarting, turns: int, *, from_first_rank: bool = False) -> bool:
    """Cancel a start ``turns`` turns of the loop after it began, or after its first rank began; whether it was."""
    ctx = starting._context
    start = asyncio.create_task(ctx.start())
    if from_first_rank:
        await asyncio.sleep(0)
        await anext(ctx.events())
    for _ in range(turns):
        await asyncio.sleep(0)
    start.cancel()
    await asyncio.wait({start})
    await ctx.close()
    assert not ctx._run or not [pid for pid in ctx.pids().values() if is_alive(pid)]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return start.cancelled()


@pytest.mark.parametrize("from_first_rank", [False, True], ids=["preparing", "launching"])
async def test_a_start_can_be_cancelled_at_every_await(from_first_rank: bool, tmp_path: Path) -> None:
    cancelled = [
        await cancelled_start(
            shell(*[SLEEPING] * 6, logs_specs=redirected(tmp_path)), turns, from_first_rank=from_first_rank
        )
        for turns in range(60)
    ]
    assert cancelled[0]


@each_method
@pytest.mark.parametrize("from_first_rank", [False, True], ids=["preparing", "launching"])
async def test_a_start_of_functions_can_be_cancelled_at_any_await(
    method: Method, from_first_rank: bool, tmp_path: Path
) -> None:
    args: list[tuple[()]] = [()] * 3
    for turns in (0, 1, 2, 3, 5, 8, 13, 20, 60):
        starting = ranks(method, vices.ready_and_stays, *args, logs_specs=redirected(tmp_path))
        await cancelled_start(starting, turns, from_first_rank=from_first_rank)


async def test_a_start_can_be_cancelled_at_any_time(tmp_path: Path) -> None:
    for milliseconds in range(0, 40, 2):
        ctx = shell(*[SLEEPING] * 6, logs_specs=redirected(tmp_path))
        with anyio.move_on_after(milliseconds / 1000):
            async with ctx:
                await anyio.sleep(600)


async def test_a_start_that_is_cancelled_twice_leaves_nothing() -> None:
    for turns in range(0, 60, 5):
        ctx = aelastic.SubprocessContext("w", "/bin/sleep", {0: ("600",), 1: ("600",)}, {0: {}, 1: {}})
        starting = asyncio.create_task(ctx.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(2):
            starting.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({starting})
        await ctx.close()
        assert not ctx._run or not [pid for pid in ctx.pids().values() if is_alive(pid)]


async def test_a_start_of_sixty_four_can_be_cancelled() -> None:
    for milliseconds in (1, 10, 30, 60):
        with anyio.move_on_after(milliseconds / 1000) as scope:
            async with shell(*[SLEEPING] * 64):
                await anyio.sleep(600)
        assert scope.cancelled_caught
