"""Every way to stop a supervisor: closed, cancelled, dropped, out of time. It wins over every restart."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from typing import TYPE_CHECKING

import anyio
import pytest

import aelastic
from aelastic.process.family import Family
from tests.helpers.apps import Application, reaped
from tests.helpers.ranks import child, is_alive, redirected
from tests.helpers.supervisors import ENDLESS, LATER, STAYS, next_event, one_for_one, said, supervised, watched_launches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

asynchronous = pytest.mark.asyncio
STRATEGIES: tuple[Strategy, ...] = ("one_for_all", "one_for_one", "rest_for_one")
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

DEAF = child("ignores_term")


def saving(tmp_path: Path, rank: int) -> str:
    """A rank that needs its grace to write a checkpoint."""
    return child("exits_slowly", "0.1", str(tmp_path / f"checkpoint_{rank}"))


async def ready(supervisor: aelastic.Supervisor) -> None:
    """Wait until every rank has said so."""
    for rank in range(supervisor.nprocs):
        await said(supervisor, "ready", rank)


def assert_saved(tmp_path: Path, *ranks: int) -> None:
    for rank in ranks:
        assert (tmp_path / f"checkpoint_{rank}").read_text() == "complete"


@asynchronous
@each_strategy
async def test_the_end_of_the_block_gives_the_grace(strategy: Strategy, tmp_path: Path) -> None:
    scripts = [saving(tmp_path, rank) for rank in (0, 1)]
    async with supervised(*scripts, strategy=strategy, logs_specs=redirected(tmp_path / "logs")) as supervisor:
        await ready(supervisor)
    assert_saved(tmp_path, 0, 1)
    assert supervisor.result is not None
    assert supervisor.result.exitcodes == {0: 0, 1: 0}
    assert supervisor.result.restarts == 0


@asynchronous
@each_strategy
async def test_cancelling_wait_stops_all_before_it_leaves(strategy: Strategy, tmp_path: Path) -> None:
    scripts = [saving(tmp_path, rank) for rank in (0, 1)]
    async with supervised(*scripts, strategy=strategy, logs_specs=redirected(tmp_path / "logs")) as supervisor:
        await ready(supervisor)
        waiter = asyncio.create_task(supervisor.wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert supervisor.result is not None
    assert_saved(tmp_path, 0, 1)


@asynchronous
@each_strategy
async def test_cancelling_again_kills_all_at_once(strategy: Strategy, tmp_path: Path) -> None:
    supervisor = supervised(DEAF, DEAF, strategy=strategy, logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await supervisor.start()
    await ready(supervisor)
    waiter = asyncio.create_task(supervisor.wait())
    for _ in range(5):
        await asyncio.sleep(0)
        waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert supervisor.result is not None
    assert supervisor.result.exitcodes == {0: -9, 1: -9}


@asynchronous
async def test_cancelling_close_kills_all_at_once(tmp_path: Path) -> None:
    supervisor = supervised(DEAF, DEAF, strategy="rest_for_one", logs_specs=redirected(tmp_path), shutdown_timeout=600)
    await supervisor.start()
    await ready(supervisor)
    with anyio.move_on_after(0.05):
        await supervisor.close()
    assert supervisor.result is not None
    assert supervisor.result.exitcodes == {0: -9, 1: -9}


@asynchronous
async def test_a_timeout_around_the_block_gives_the_grace(tmp_path: Path) -> None:
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(None) as timeout,
            one_for_one(saving(tmp_path, 0), logs_specs=redirected(tmp_path / "logs")) as supervisor,
        ):
            await ready(supervisor)
            timeout.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(600)
    assert timeout.expired()
    assert_saved(tmp_path, 0)


@asynchronous
async def test_an_anyio_scope_gives_the_grace(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with one_for_one(saving(tmp_path, 0), logs_specs=redirected(tmp_path / "logs")) as supervisor:
            await ready(supervisor)
            asyncio.get_running_loop().call_soon(scope.cancel)
            await supervisor.wait()
    assert scope.cancelled_caught
    assert_saved(tmp_path, 0)


@asynchronous
async def test_close_takes_a_signal_and_a_time_for_every_rank(tmp_path: Path) -> None:
    scripts = [child("exits_slowly", "0", str(tmp_path / "0"), str(int(signal.SIGINT))), DEAF]
    async with one_for_one(*scripts, logs_specs=redirected(tmp_path / "logs"), shutdown_timeout=600) as supervisor:
        await ready(supervisor)
        await supervisor.close(signal.SIGINT, 0.05)
    assert supervisor.result is not None
    assert supervisor.result.exitcodes[1] == -9
    assert (tmp_path / "0").read_text() == "complete"


@asynchronous
async def test_many_may_close_at_once() -> None:
    async with one_for_one(STAYS, STAYS) as supervisor:
        await asyncio.gather(*[supervisor.close() for _ in range(5)], supervisor.wait())
        result = supervisor.result
        await supervisor.close()
        assert supervisor.result is result


@asynchronous
@each_strategy
async def test_a_stop_in_the_back_off_is_the_end(strategy: Strategy) -> None:
    supervisor = supervised("exit 3", strategy=strategy, restart=LATER)
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankRestarting)
    assert supervisor.result is not None
    assert supervisor.result.exitcodes == {0: 3}
    assert supervisor.result.gave_up == ""


@asynchronous
@each_strategy
async def test_nothing_starts_after_close(strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever turn of the loop it comes: while ranks start, fail, and start again."""
    launches = watched_launches(monkeypatch)
    for turns in range(1, 120, 5):
        supervisor = supervised("exit 3", "exec sleep 600", "exit 0", strategy=strategy, restart=ENDLESS)
        events = supervisor.events()
        starting = asyncio.create_task(supervisor.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        closed_at = time.monotonic()
        await supervisor.close()
        await asyncio.wait({starting})
        with contextlib.suppress(aelastic.NotRunningError):
            starting.result()
        started = [event async for event in events if isinstance(event, aelastic.RankStarted)]
        assert not [at for at in launches if at > closed_at]
        assert not [event for event in started if is_alive(event.pid)]


@asynchronous
async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    for turns in range(0, 90, 3):
        supervisor = one_for_one(*["exec sleep 600"] * 6, logs_specs=redirected(tmp_path))
        events = supervisor.events()
        starting = asyncio.create_task(supervisor.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})
        await supervisor.close()
        if starting.cancelled() and turns:
            assert not [event async for event in events if hasattr(event, "pid") and is_alive(event.pid)]
        assert asyncio.all_tasks() == {asyncio.current_task()}


@asynchronous
async def test_a_signal_handler_can_stop_it(tmp_path: Path) -> None:
    async with one_for_one(STAYS, STAYS, logs_specs=redirected(tmp_path)) as supervisor:
        await ready(supervisor)
        with aelastic.handle_signals(supervisor, [signal.SIGUSR2]) as received:
            os.kill(os.getpid(), signal.SIGUSR2)
            result = await supervisor.wait()
    assert received.signal == signal.SIGUSR2
    assert result.exitcodes == {0: -signal.SIGUSR2, 1: -signal.SIGUSR2}


# Given up


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Process groups that no signal of ours reaches, as if they were in an uninterruptible sleep."""
    groups: set[int] = set()
    real = Family.signal
    monkeypatch.setattr(Family, "signal", lambda self, sig: None if self.pgid in groups else real(self, sig))
    yield groups
    for group in groups:
        os.killpg(group, signal.SIGKILL)


@asynchronous
async def test_what_does_not_end_is_not_started_again(unkillable: set[int]) -> None:
    supervisor = one_for_one(STAYS, STAYS, restart=ENDLESS, shutdown_timeout=0.05, containment="group")
    async with supervisor:
        stuck = supervisor.pids()[0]
        unkillable.add(stuck)
        await supervisor.restart(0)
        result = await supervisor.wait()
    assert result.abandoned == {0: stuck}
    assert result.gave_up == f"rank 0 (pid {stuck}) did not end even after SIGKILL"
    assert result.first_failure is not None
    assert result.first_failure.pid == stuck
    assert supervisor.snapshot()[0].state is aelastic.RankState.ABANDONED
    os.kill(stuck, signal.SIGKILL)
    unkillable.clear()
    assert await reaped(stuck)
    await asyncio.sleep(0.1)  # Python 3.11 reaps in a thread: its loop hears of it later


@asynchronous
async def test_what_does_not_end_when_it_is_stopped_can_never_be_started(unkillable: set[int]) -> None:
    supervisor = one_for_one(STAYS, STAYS, restart=ENDLESS, shutdown_timeout=0.05, containment="group")
    async with supervisor:
        stuck = supervisor.pids()[0]
        unkillable.add(stuck)
        await supervisor.stop(0)
        assert supervisor.snapshot()[1].state is aelastic.RankState.RUNNING
        for request in (supervisor.start(0), supervisor.restart(0)):
            with pytest.raises(aelastic.NotRunningError, match="rank 0 did not end even after SIGKILL"):
                await request
    os.kill(stuck, signal.SIGKILL)
    unkillable.clear()
    assert await reaped(stuck)
    await asyncio.sleep(0.1)


# Dropped


def drop(supervisors: list[aelastic.Supervisor]) -> None:
    """Lose them."""
    supervisors.clear()
    gc.collect()


@asynchronous
@each_strategy
async def test_a_dropped_supervisor_warns_and_stops_its_ranks(strategy: Strategy) -> None:
    supervisors = [supervised(STAYS, STAYS, strategy=strategy)]
    await supervisors[0].start()
    pids = supervisors[0].pids()
    with pytest.warns(ResourceWarning, match="'w' was dropped without being closed"):
        drop(supervisors)
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    assert not [pid for pid in pids.values() if is_alive(pid)]


@asynchronous
async def test_a_supervisor_in_another_loop_is_refused() -> None:
    async with one_for_one(STAYS) as supervisor:

        def elsewhere() -> None:
            with pytest.raises(aelastic.NotRunningError, match="was started in another loop"):
                asyncio.run(supervisor.wait())

        await asyncio.to_thread(elsewhere)


@pytest.mark.parametrize(
    ("ending", "loop"),
    [
        ("returns", "uvloop"),
        ("is interrupted", "asyncio"),
        ("closes the loop", "asyncio"),
        ("is in a daemon thread", "uvloop"),
    ],
)
def test_ranks_end_with_their_application(ending: str, loop: str, tmp_path: Path) -> None:
    with Application("app_supervises", loop, ending, 30, tmp_path, saving(tmp_path, 0), saving(tmp_path, 1)) as app:
        app.line("ready")
        if ending == "is interrupted":
            app.interrupt()
        ended = app.ended()
        assert app.survivors() == []
    assert_saved(tmp_path, 0, 1)
    if ending == "returns":
        assert ended.noise == []


@pytest.mark.parametrize(
    ("ending", "loop"), [("returns", "asyncio"), ("closes the loop", "uvloop"), ("is in a daemon thread", "asyncio")]
)
def test_deaf_ranks_end_with_their_application(ending: str, loop: str, tmp_path: Path) -> None:
    with Application("app_supervises", loop, ending, 0.1, tmp_path, DEAF, DEAF) as app:
        app.line("ready")
        app.ended()
        assert app.survivors() == []
