"""Watching a run: waiting, results, snapshots, events, signals, and who is blamed for a failure."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import aelastic
from aelastic import RankState
from tests.helpers.apps import reaped
from tests.helpers.ranks import child, is_alive, line_of, redirected, shell

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"


async def result_of(ctx: aelastic.PContext) -> aelastic.RunProcsResult:
    """Wait for it."""
    result = await ctx.wait()
    assert result is not None
    return result


# wait


@pytest.mark.parametrize("timeout", [None, -1, -0.5, 600, float("inf"), 1e300])
async def test_wait_until_done(timeout: float | None) -> None:
    async with shell("exit 0") as ctx:
        result = await ctx.wait(timeout)
    assert result is not None
    assert not result.is_failed()


async def test_wait_zero_asks_once() -> None:
    async with shell(SLEEPING) as ctx:
        assert await ctx.wait(0) is None
        assert is_alive(ctx.pids()[0])
        ctx.send_signal(signal.SIGKILL)
        result = await ctx.wait()
        assert result is not None
        assert await ctx.wait(0) is result


async def test_a_wait_that_expires_leaves_the_ranks_running() -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        assert await ctx.wait(0.01) is None
        assert await ctx.wait(timeout=0.01) is None
        assert all(map(is_alive, ctx.pids().values()))
        assert ctx.result is None


async def test_every_waiter_gets_the_same_result() -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        waiters = [asyncio.create_task(ctx.wait()) for _ in range(5)]
        waiters += [asyncio.create_task(ctx.wait(600)) for _ in range(5)]
        await asyncio.sleep(0)
        ctx.send_signal(signal.SIGKILL, 0)
        results = await asyncio.gather(*waiters)
        assert results[0] is not None
        assert all(result is results[0] for result in results)
        assert await ctx.wait() is results[0] is ctx.result


async def test_the_result_is_none_until_there_is_one() -> None:
    ctx = await shell("exit 0")
    assert ctx.result is None
    result = await ctx.wait()
    assert ctx.result is result
    await ctx.close()
    assert ctx.result is result


async def test_asking_for_the_result_again_changes_nothing() -> None:
    async with shell(SLEEPING, "exit 3") as ctx:
        first, exits = await result_of(ctx), [event async for event in ctx.events()]
        assert await ctx.wait() is first
        assert [event async for event in ctx.events()] == exits


# What can be seen


async def test_pids_are_those_of_the_ranks() -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        for pid in ctx.pids().values():
            assert Path(f"/proc/{pid}/stat").read_text().split()[3] == str(os.getpid())


async def test_a_snapshot_tells_the_state_of_every_rank(tmp_path: Path) -> None:
    scripts = ["echo last; exit 0", child("ignores_term"), SLEEPING]
    async with shell(*scripts, logs_specs=redirected(tmp_path), shutdown_timeout=0.3) as ctx:
        await line_of(ctx, "ready", rank=1)
        events = ctx.events()
        async for event in events:
            if isinstance(event, aelastic.RankExited):
                break
        ended, running, _ = ctx.snapshot().values()
        assert (ended.state, ended.exitcode, ended.pid) == (RankState.EXITED, 0, ctx.pids()[0])
        assert (running.state, running.exitcode, running.pid) == (RankState.RUNNING, None, ctx.pids()[1])
        assert running.last_line == "ready"
        assert running.started_at is not None
        assert running.ended_at is None
        closing = asyncio.create_task(ctx.close())
        async for event in events:
            if isinstance(event, aelastic.RankExited):
                break
        assert [ctx.snapshot()[rank].state for rank in (1, 2)] == [RankState.STOPPING, RankState.EXITED]
        await closing
        events.close()
    after = ctx.snapshot()
    assert {one.state for one in after.values()} == {RankState.EXITED}
    assert [after[rank].exitcode for rank in range(3)] == [0, -9, -15]
    assert after[0].last_line == "last"
    assert all(one.started_at <= one.ended_at for one in after.values() if one.started_at and one.ended_at)


async def test_a_rank_that_was_never_started_is_pending() -> None:
    ctx = aelastic.SubprocessContext("w", "/no/such/program", {0: ()}, {0: {}})
    with pytest.raises(FileNotFoundError):
        await ctx.start()
    assert ctx.snapshot()[0] == aelastic.RankSnapshot(0, RankState.PENDING, None, None, None, None, "")


async def test_events_come_in_order_and_are_replayed_to_late_subscribers() -> None:
    async with shell("exit 0", "exit 0") as ctx:
        early = [event async for event in ctx.events()]
    late = [event async for event in ctx.events()]
    assert early == late
    kinds = [type(event) for event in early]
    assert kinds[-1] is aelastic.RunFinished
    assert kinds.count(aelastic.RankStarted) == kinds.count(aelastic.RankExited) == 2
    for rank in range(2):
        mine = [type(event) for event in early[:-1] if getattr(event, "rank", None) == rank]
        assert mine == [aelastic.RankStarted, aelastic.RankExited]
    last = early[-1]
    assert isinstance(last, aelastic.RunFinished)
    assert last.result is ctx.result


async def test_the_events_of_a_failed_start_end() -> None:
    args = {0: ("600",), 1: ("6" * 200_000,)}
    ctx = aelastic.SubprocessContext("w", "/bin/sleep", args, {0: {}, 1: {}})
    with pytest.raises(OSError, match="rank 1"):
        await ctx.start()
    assert [type(event) for event in [event async for event in ctx.events()]] == [
        aelastic.RankStarted,
        aelastic.RankExited,
    ]


# Signals


async def test_a_signal_to_one_rank_is_no_stop(tmp_path: Path) -> None:
    async with shell(*[child("counts_signals")] * 2, logs_specs=redirected(tmp_path)) as ctx:
        for rank in range(2):
            await line_of(ctx, "ready", rank)
        ctx.send_signal(signal.SIGUSR1, rank=1)
        assert (await line_of(ctx, "got")).rank == 1
        ctx.send_signal(signal.SIGUSR2)
        for rank in range(2):
            await line_of(ctx, "got SIGUSR2", rank)
        assert [one.state for one in ctx.snapshot().values()] == [RankState.RUNNING] * 2
        assert await ctx.wait(0) is None
    assert Path(ctx.stdouts[0]).read_text() == "ready\ngot SIGUSR2\n"


async def test_a_signal_to_ranks_that_are_gone_is_no_error() -> None:
    async with shell("exit 0", "exit 0") as ctx:
        await ctx.wait()
        ctx.send_signal(signal.SIGTERM)
        ctx.send_signal(signal.SIGTERM, rank=1)


@pytest.mark.parametrize(
    ("sig", "rank", "match"), [(15, 2, "rank"), (15, -1, "rank"), (99, 0, "sig"), (0, None, "sig")]
)
async def test_an_impossible_signal_is_refused(sig: int, rank: int | None, match: str) -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        with pytest.raises(aelastic.InvalidArgumentError, match=match):
            ctx.send_signal(sig, rank)
        assert await ctx.wait(0) is None


async def test_a_rank_that_dies_of_a_signal_that_we_passed_on_has_failed_itself() -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        ctx.send_signal(signal.SIGUSR1, rank=1)
        result = await result_of(ctx)
    assert result.first_failure is not None
    assert (result.first_failure.local_rank, result.first_failure.signal_name()) == (1, "SIGUSR1")


# Failures


async def test_a_rank_killed_from_outside_is_the_first_failure() -> None:
    async with shell(SLEEPING, SLEEPING, SLEEPING) as ctx:
        os.kill(ctx.pids()[1], signal.SIGKILL)
        result = await result_of(ctx)
    assert result.first_failure is not None
    assert result.first_failure.local_rank == 1
    assert result.first_failure.signal_name() == "SIGKILL"
    assert not result.failures[1].collateral
    assert result.failures[0].collateral
    assert result.failures[2].collateral


async def test_the_failure_of_a_rank_has_its_last_words(tmp_path: Path) -> None:
    async with shell("echo begin >&2; echo the reason >&2; exit 3", logs_specs=redirected(tmp_path)) as ctx:
        result = await result_of(ctx)
    failure = result.failures[0]
    assert failure.stderr_tail == "begin\nthe reason"
    assert failure.reason == "exited with code 3"
    assert 0 < failure.lifetime < 60


async def test_the_failure_grace_lets_peers_write_their_error_files() -> None:
    report = json.dumps({"message": "peer lost", "timestamp": 1})
    late = f"sleep 0.2; echo '{report}' > $TORCHELASTIC_ERROR_FILE; exit 4"
    async with shell(late, "exit 3", failure_grace=60) as ctx:
        result = await result_of(ctx)
    assert result.exitcodes == {0: 4, 1: 3}
    assert result.failures[0].message == "peer lost"
    assert not result.failures[0].collateral
    assert result.first_failure is not None
    assert result.first_failure.local_rank == 1


async def test_after_the_failure_grace_the_others_are_stopped() -> None:
    async with shell(SLEEPING, "exit 3", failure_grace=0.05) as ctx:
        result = await result_of(ctx)
    assert result.exitcodes == {0: -15, 1: 3}
    assert result.failures[0].collateral


async def test_closing_cuts_the_failure_grace() -> None:
    async with shell(SLEEPING, "exit 3", failure_grace=600) as ctx:
        events = ctx.events()
        async for event in events:
            if isinstance(event, aelastic.RankExited):
                break
        events.close()
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -15, 1: 3}
    assert ctx.result.first_failure is not None


async def test_what_release_raises_does_not_cost_the_result(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(aelastic.DefaultLogsSpecs):
        def release(self) -> None:
            raise ValueError("mine")

    async with shell("exit 0", logs_specs=Raising()) as ctx:
        result = await result_of(ctx)
    assert not result.is_failed()
    assert "could not be released" in caplog.text


async def test_a_fault_of_ours_ends_the_waiters_and_the_ranks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    ctx = await shell(SLEEPING, SLEEPING)
    monkeypatch.setattr("aelastic.decide.gang.Gang.exited", fault)
    ctx.send_signal(signal.SIGKILL, rank=0)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        await ctx.wait()
    with pytest.raises(ZeroDivisionError):
        await ctx.wait()
    for pid in ctx.pids().values():
        assert await reaped(pid)
    await ctx.close()
    assert "'w' was broken off" in caplog.text
