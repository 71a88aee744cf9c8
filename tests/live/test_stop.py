"""The stop ladder: asked politely, then killed, never waited for for ever."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers.ranks import is_alive, line_of, redirected, shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"
DEAF = "trap '' TERM INT; echo ready; while :; do sleep 600; done"
ENDS_ON_INT = "trap '' TERM; trap 'exit 7' INT; echo ready; while :; do sleep 600 & wait; done"


async def ready(ctx: aelastic.PContext) -> None:
    """Every rank has said ``ready``."""
    for rank in range(ctx.nprocs):
        await line_of(ctx, "ready", rank)


def codes(ctx: aelastic.PContext) -> dict[int, int]:
    """How the ranks ended; none of them lives."""
    assert ctx.result is not None
    assert not [pid for pid in ctx.pids().values() if is_alive(pid)]
    return ctx.result.exitcodes


async def test_closing_asks_politely() -> None:
    ctx = await shell(SLEEPING, SLEEPING)
    await ctx.close()
    assert codes(ctx) == {0: -15, 1: -15}


async def test_what_was_stopped_is_collateral_and_nobody_is_to_blame() -> None:
    ctx = await shell(SLEEPING, SLEEPING)
    await ctx.close()
    assert ctx.result is not None
    assert ctx.result.is_failed()
    assert all(failure.collateral for failure in ctx.result.failures.values())
    assert ctx.result.first_failure is None
    assert ctx.result.return_values == {}


async def test_ranks_that_end_well_when_asked_have_not_failed(tmp_path: Path) -> None:
    script = "trap 'exit 0' TERM; echo ready; while :; do sleep 600 & wait; done"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await ready(ctx)
    assert ctx.result is not None
    assert not ctx.result.is_failed()
    assert ctx.result.return_values == {0: None}


async def test_the_deaf_are_killed_when_the_grace_is_over(tmp_path: Path) -> None:
    async with shell(DEAF, SLEEPING, logs_specs=redirected(tmp_path), shutdown_timeout=0.1) as ctx:
        await line_of(ctx, "ready")
    assert codes(ctx) == {0: -9, 1: -15}


@pytest.mark.parametrize("timeout", [0, 0.0, 0.05])
async def test_the_grace_can_be_given_with_the_close(timeout: float, tmp_path: Path) -> None:
    async with shell(DEAF, logs_specs=redirected(tmp_path), shutdown_timeout=600) as ctx:
        await ready(ctx)
        await ctx.close(timeout=timeout)
        assert codes(ctx) == {0: -9}


async def test_the_signal_can_be_given_with_the_close() -> None:
    ctx = await shell(SLEEPING)
    await ctx.close(signal.SIGINT)
    assert codes(ctx) == {0: -2}


async def test_closing_with_sigkill_gives_no_grace(tmp_path: Path) -> None:
    ctx = await shell(DEAF, logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await ready(ctx)
    await ctx.close(signal.SIGKILL)
    assert codes(ctx) == {0: -9}


async def test_the_death_signal_is_the_one_asked_for_on_a_failure_too() -> None:
    async with shell(SLEEPING, "exit 3", death_sig=signal.SIGHUP) as ctx:
        await ctx.wait()
    assert codes(ctx) == {0: -1, 1: 3}


async def test_closing_again_changes_nothing() -> None:
    ctx = await shell(SLEEPING)
    await ctx.close()
    result = ctx.result
    await ctx.close()
    await ctx.close(signal.SIGINT, 0)
    assert ctx.result is result
    assert codes(ctx) == {0: -15}


async def test_closing_what_has_finished_changes_nothing() -> None:
    async with shell("exit 0", "exit 0") as ctx:
        result = await ctx.wait()
        await ctx.close()
    assert ctx.result is result
    assert codes(ctx) == {0: 0, 1: 0}


async def test_closing_in_two_tasks_ends_in_both(tmp_path: Path) -> None:
    ctx = await shell(DEAF, logs_specs=redirected(tmp_path), shutdown_timeout=0.1)
    await ready(ctx)
    await asyncio.gather(ctx.close(), ctx.close(), ctx.wait())
    assert codes(ctx) == {0: -9}


async def test_closing_with_another_signal_sends_that_too(tmp_path: Path) -> None:
    ctx = await shell(ENDS_ON_INT, logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await ready(ctx)
    polite = asyncio.create_task(ctx.close())
    await asyncio.sleep(0)
    await ctx.close(signal.SIGINT)
    await polite
    assert codes(ctx) == {0: 7}


async def test_closing_with_less_grace_cuts_what_was_given(tmp_path: Path) -> None:
    ctx = await shell(DEAF, logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await ready(ctx)
    patient = asyncio.create_task(ctx.close())
    await asyncio.sleep(0)
    await ctx.close(timeout=0)
    await patient
    assert codes(ctx) == {0: -9}


async def test_closing_with_more_grace_does_not_prolong_it(tmp_path: Path) -> None:
    ctx = await shell(DEAF, logs_specs=redirected(tmp_path))
    await ready(ctx)
    impatient = asyncio.create_task(ctx.close(timeout=0.05))
    await asyncio.sleep(0)
    await ctx.close(timeout=600)
    await impatient
    assert codes(ctx) == {0: -9}


async def test_closing_while_another_task_starts() -> None:
    ranks = range(64)
    ctx = aelastic.SubprocessContext("w", "/bin/sleep", dict.fromkeys(ranks, ("600",)), {rank: {} for rank in ranks})
    starting = asyncio.create_task(ctx.start())
    while not starting.done():  # close as soon as there is a first rank
        await asyncio.sleep(0)
        if ctx._run is not None and ctx.pids():
            break
    await ctx.close()
    with pytest.raises(aelastic.NotRunningError, match="stopped while it started"):
        await starting
    assert 0 < len(ctx.pids()) < 64
    assert not [pid for pid in ctx.pids().values() if is_alive(pid)]


async def test_a_rank_that_is_killed_while_it_has_its_grace_is_no_problem(tmp_path: Path) -> None:
    ctx = await shell(DEAF, logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await ready(ctx)
    closing = asyncio.create_task(ctx.close())
    await asyncio.sleep(0)
    os.kill(ctx.pids()[0], signal.SIGKILL)
    await closing
    assert codes(ctx) == {0: -9}


async def test_a_rank_that_is_suspended_hears_that_it_must_end() -> None:
    ctx = await shell(SLEEPING)
    ctx.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, ctx.pids()[0], os.WSTOPPED | os.WNOWAIT)
    await ctx.close()
    assert codes(ctx) == {0: -15}


async def test_a_rank_that_suspends_itself_again_is_killed_when_the_grace_is_over(tmp_path: Path) -> None:
    script = "trap 'kill -STOP $$' TERM; echo ready; while :; do sleep 600 & wait; done"
    ctx = await shell(script, logs_specs=redirected(tmp_path), shutdown_timeout=0.1)
    await ready(ctx)
    await ctx.close()
    assert codes(ctx) == {0: -9}


async def test_an_endless_grace_is_possible() -> None:
    ctx = await shell(SLEEPING, shutdown_timeout=float("inf"), drain_timeout=float("inf"))
    await ctx.close(timeout=float("inf"))
    assert codes(ctx) == {0: -15}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"death_sig": 99}, "death_sig"),
        ({"death_sig": 0}, "death_sig"),
        ({"death_sig": "SIGTERM"}, "death_sig"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
async def test_closing_impossibly_is_refused_and_stops_nothing(options: dict[str, Any], match: str) -> None:
    async with shell(SLEEPING) as ctx:
        with pytest.raises(aelastic.InvalidArgumentError, match=match):
            await ctx.close(**options)
        with pytest.raises(aelastic.InvalidArgumentError, match=match):
            ctx.request_stop(**options)
        assert await ctx.wait(0) is None
    assert codes(ctx) == {0: -15}


async def test_a_stop_can_be_requested_by_a_callback() -> None:
    async with shell(SLEEPING) as ctx:
        asyncio.get_running_loop().call_soon(ctx.request_stop, signal.SIGINT)
        await ctx.wait()
        assert codes(ctx) == {0: -2}


async def test_a_stop_requested_before_the_start_makes_it_refuse() -> None:
    ctx = aelastic.SubprocessContext("w", "/bin/sleep", {0: ("600",)}, {0: {}})
    ctx.request_stop()
    with pytest.raises(aelastic.NotRunningError, match="before it was started"):
        await ctx.start()
