"""One rank takes the place of another while that still runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic import rank
from tests.helpers.ranks import is_alive, redirected
from tests.helpers.supervisors import AT_ONCE, LATER, STAYS, next_event, one_for_one, supervised
from tests.scenarios import vices

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.conduct.functions import StartMethod

pytestmark = pytest.mark.asyncio

SAYS_READY = aelastic.LogProbe("^ready")
NO_BUDGET = aelastic.RestartPolicy(max_restarts=0)

# The first start is ready at once, each later one when somebody says "go".
WAITS_FOR_GO = f"[ $TORCHELASTIC_RESTART_COUNT = 0 ] || until [ -e $GO ]; do sleep 0.02; done; {STAYS}"


def on_go(tmp_path: Path, ranks: int = 1, script: str = WAITS_FOR_GO, **options: Any) -> aelastic.Supervisor:
    """Ranks whose later starts wait for the file ``go``."""
    options.setdefault("restart", NO_BUDGET)
    envs = {rank: {"GO": str(tmp_path / "go")} for rank in range(ranks)}
    logs = redirected(tmp_path / "logs")
    return one_for_one(*[script] * ranks, envs=envs, logs_specs=logs, readiness=SAYS_READY, **options)


async def under_way(supervisor: aelastic.Supervisor, request: asyncio.Task[None], attempt: int = 1) -> int:
    """Wait until the new one runs, and is not ready; its pid."""
    started = await next_event(supervisor.events(), aelastic.RankStarted, rank=0, attempt=attempt)
    assert not request.done()
    return started.pid


async def test_the_old_one_goes_when_the_new_one_is_ready(tmp_path: Path) -> None:
    supervisor = on_go(tmp_path, 2)
    async with supervisor:
        await supervisor.ready()
        before = supervisor.pids()
        replacing = asyncio.create_task(supervisor.replace(0))
        new = await under_way(supervisor, replacing)
        assert supervisor.pids() == before  # the rank is still the old one
        assert supervisor.snapshot()[0].attempt == 0
        assert is_alive(before[0])
        (tmp_path / "go").touch()
        await replacing
        assert supervisor.pids() == {0: new, 1: before[1]}
        assert not is_alive(before[0])
        seen = supervisor.snapshot()[0]
        assert (seen.attempt, seen.ready, seen.state) == (1, True, aelastic.RankState.RUNNING)
        happened = supervisor.events()
    told = [
        (type(event).__name__, event.attempt)
        async for event in happened
        if isinstance(event, aelastic.RankStarted | aelastic.RankReady | aelastic.RankExited) and event.rank == 0
    ]
    assert told == [
        ("RankStarted", 0),
        ("RankReady", 0),
        ("RankStarted", 1),
        ("RankReady", 1),
        ("RankExited", 0),
        ("RankExited", 1),
    ]
    result = supervisor.result
    assert result is not None
    assert (result.restarts, result.gave_up, result.first_failure) == (0, "", None)
    old = next(attempt for attempt in result.attempts if (attempt.ranks, attempt.number) == ((0,), 0))
    assert old.failures[0].collateral
    (run_directory,) = (tmp_path / "logs").iterdir()
    lines = {path.parent.parent.name: path.read_text() for path in run_directory.glob("attempt_*/0/stdout.log")}
    assert lines == {"attempt_0": "ready 0\n", "attempt_1": "ready 1\n"}


async def test_one_after_another(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    supervisor = on_go(tmp_path, 3)
    events = supervisor.events()
    async with supervisor:
        await supervisor.ready()
        await supervisor.stop(1)
        before = supervisor.pids()
        await supervisor.replace()
        after = supervisor.pids()
        assert set(after) == {0, 2}
        assert not set(before.values()) & set(after.values())
    told = [
        (type(event).__name__, event.rank)
        async for event in events
        if (isinstance(event, aelastic.RankStarted | aelastic.RankReady) and event.attempt == 1)
        or (isinstance(event, aelastic.RankExited) and event.attempt == 0)
    ]
    one = ["RankStarted", "RankReady", "RankExited"]
    assert told == [("RankExited", 1), *[(kind, 0) for kind in one], *[(kind, 2) for kind in one]]


async def test_ranks_that_are_removed_meanwhile_are_left_alone(tmp_path: Path) -> None:
    async with on_go(tmp_path, 3) as supervisor:
        await supervisor.ready()
        replacing = asyncio.create_task(supervisor.replace())
        await under_way(supervisor, replacing)
        (tmp_path / "go").touch()
        await next_event(supervisor.events(), aelastic.RankStarted, rank=1, attempt=1)
        before = supervisor.pids()
        await asyncio.gather(supervisor.scale(2), replacing)
        assert supervisor.pids().keys() == {0, 1}
        assert supervisor.pids()[0] == before[0]


async def test_the_logs_of_who_runs_are_kept(tmp_path: Path) -> None:
    logs = redirected(tmp_path, keep_attempts=1)
    script = f"[ $TORCHELASTIC_RESTART_COUNT != 1 ] || exit 3; {STAYS}"
    async with one_for_one(script, logs_specs=logs, readiness=SAYS_READY) as supervisor:
        await supervisor.ready(60)
        with pytest.raises(aelastic.NotReadyError):
            await supervisor.replace(0)
        (run_directory,) = tmp_path.iterdir()
        assert (run_directory / "attempt_0" / "0" / "stdout.log").read_text() == "ready 0\n"
        await supervisor.replace(0)
        await supervisor.replace(0)
    assert {path.name for path in run_directory.iterdir()} == {"attempt_2", "attempt_3"}


def serves() -> None:
    """A function of its own process."""
    rank.ready()
    vices.stay()


@pytest.mark.any_loop
@pytest.mark.filterwarnings("ignore:start_method='fork'")
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
async def test_functions_are_replaced(method: StartMethod) -> None:
    async with aelastic.Supervisor(
        "f",
        serves,
        {0: (), 1: ()},
        {0: {}, 1: {}},
        strategy="one_for_one",
        restart=NO_BUDGET,
        start_method=method,
        readiness=aelastic.Notify(),
    ) as supervisor:
        await supervisor.ready(60)
        before = supervisor.pids()
        await supervisor.replace()
        assert not set(before.values()) & set(supervisor.pids().values())
        assert not [pid for pid in before.values() if is_alive(pid)]


async def test_without_readiness_a_new_one_is_ready_when_it_is_started() -> None:
    async with one_for_one(STAYS, STAYS) as supervisor:
        before = supervisor.pids()
        await supervisor.replace()
        assert not set(before.values()) & set(supervisor.pids().values())
        assert not [pid for pid in before.values() if is_alive(pid)]


@pytest.mark.parametrize("failing", ["exit 4", "exit 0", "kill -9 $$"])
async def test_a_new_one_that_ends_before_it_is_ready_changes_nothing(failing: str, tmp_path: Path) -> None:
    script = f"[ $TORCHELASTIC_RESTART_COUNT = 0 ] || {{ echo loading; echo 'no such model' >&2; {failing}; }}; {STAYS}"
    async with on_go(tmp_path, 2, script) as supervisor:
        await supervisor.ready()
        before = supervisor.pids()
        with pytest.raises(aelastic.NotReadyError) as caught:
            await supervisor.replace()
        assert caught.value.rank == 0
        assert caught.value.exitcode == {"exit 4": 4, "exit 0": 0, "kill -9 $$": -9}[failing]
        assert caught.value.last_lines.splitlines() == ["loading", "no such model"]
        assert supervisor.pids() == before  # rank 1 was not tried
        assert supervisor.snapshot()[0].ready
        assert await supervisor.wait(0.05) is None
    assert supervisor.result is not None
    assert supervisor.result.gave_up == ""


@pytest.mark.parametrize(("ready_timeout", "timeout"), [(0.3, None), (None, 0.3), (600.0, 0.3), (0.3, 600.0)])
async def test_a_new_one_that_takes_too_long_is_stopped(
    ready_timeout: float | None, timeout: float | None, tmp_path: Path
) -> None:
    async with on_go(tmp_path, ready_timeout=ready_timeout) as supervisor:
        await supervisor.ready()
        before = supervisor.pids()
        replacing = asyncio.create_task(supervisor.replace(0, timeout))
        new = await under_way(supervisor, replacing)
        with pytest.raises(aelastic.NotReadyError, match=r"rank 0 was not ready within 0.3 s"):
            await replacing
        assert not is_alive(new)
        assert supervisor.pids() == before
        (tmp_path / "go").touch()
        await supervisor.replace(0)
        assert supervisor.snapshot()[0].attempt == 2


async def test_a_new_one_that_cannot_be_started_changes_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{STAYS}\n")
    program.chmod(0o700)
    logs = redirected(tmp_path / "logs")
    async with aelastic.Supervisor(
        "w", str(program), {0: ()}, {0: {}}, logs, strategy="one_for_one", readiness=SAYS_READY
    ) as supervisor:
        await supervisor.ready(60)  # else the shell might not have read its script yet
        before = supervisor.pids()
        program.unlink()
        with pytest.raises(aelastic.NotReadyError, match="rank 0 could not be started"):
            await supervisor.replace(0)
        assert supervisor.pids() == before


async def test_the_new_one_takes_over_also_when_the_old_one_fails_meanwhile(tmp_path: Path) -> None:
    async with on_go(tmp_path, restart=LATER) as supervisor:
        await supervisor.ready()
        replacing = asyncio.create_task(supervisor.replace(0))
        new = await under_way(supervisor, replacing)
        supervisor.send_signal(9, 0)  # who is about to take over is not meant
        await next_event(supervisor.events(), aelastic.RankRestarting, rank=0)
        (tmp_path / "go").touch()
        await replacing
        assert supervisor.pids() == {0: new}


async def test_a_new_one_that_fails_later_is_restarted(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    async with on_go(tmp_path, restart=AT_ONCE) as supervisor:
        await supervisor.ready()
        await supervisor.replace(0)
        supervisor.send_signal(9)
        await next_event(supervisor.events(), aelastic.RankReady, rank=0, attempt=2)


async def test_a_deaf_old_one_has_its_grace(tmp_path: Path) -> None:
    script = f"trap '' TERM; echo ready; [ $TORCHELASTIC_RESTART_COUNT = 0 ] && while :; do sleep 0.05; done; {STAYS}"
    async with on_go(tmp_path, 1, script, shutdown_timeout=0.2) as supervisor:
        await supervisor.ready()
        old = supervisor.pids()[0]
        await supervisor.replace(0)
        assert not is_alive(old)
        exited = await next_event(supervisor.events(), aelastic.RankExited, attempt=0)
        assert (exited.exitcode, exited.collateral) == (-9, True)


@pytest.mark.parametrize("other", ["stop", "restart", "scale", "close"])
async def test_whoever_asks_for_something_else_overtakes(other: str, tmp_path: Path) -> None:
    async with on_go(tmp_path, 2, restart=NO_BUDGET) as supervisor:
        await supervisor.ready()
        before = supervisor.pids()
        replacing = asyncio.create_task(supervisor.replace(1))
        started = await next_event(supervisor.events(), aelastic.RankStarted, rank=1, attempt=1)
        if other == "stop":
            await supervisor.stop(1)
        elif other == "restart":
            await supervisor.restart(1)
        elif other == "scale":
            await supervisor.scale(1)
        else:
            await supervisor.close()
        assert not is_alive(started.pid)
        assert not is_alive(before[1])
        with pytest.raises(aelastic.NotReadyError, match="rank 1 killed by SIGTERM before it was ready"):
            await replacing
        if other != "close":
            after = supervisor.pids()
            assert after.pop(0) == before[0]
            assert set(after) == ({1} if other == "restart" else set())
    assert supervisor.result is not None
    assert supervisor.result.first_failure is None


async def test_cancelling_does_not_undo_it_and_goes_no_further(tmp_path: Path) -> None:
    async with on_go(tmp_path, 2) as supervisor:
        await supervisor.ready()
        before = supervisor.pids()
        replacing = asyncio.create_task(supervisor.replace())
        await under_way(supervisor, replacing)
        replacing.cancel()
        await asyncio.wait({replacing})
        (tmp_path / "go").touch()
        await next_event(supervisor.events(), aelastic.RankExited, rank=0, attempt=0)
        assert supervisor.snapshot()[0].attempt == 1
        assert supervisor.pids()[1] == before[1]


async def test_replacing_twice_at_the_same_time_is_one_replacement(tmp_path: Path) -> None:
    async with on_go(tmp_path) as supervisor:
        await supervisor.ready()
        replacing = [asyncio.create_task(supervisor.replace(0)) for _ in range(3)]
        await under_way(supervisor, replacing[0])
        (tmp_path / "go").touch()
        await asyncio.gather(*replacing)
        assert supervisor.snapshot()[0].attempt == 1


async def test_what_does_not_run_is_not_replaced(tmp_path: Path) -> None:
    async with on_go(tmp_path) as supervisor:
        await supervisor.stop(0)
        with pytest.raises(aelastic.NotRunningError, match="rank 0 does not run"):
            await supervisor.replace(0)
        await supervisor.replace()  # of nobody
        with pytest.raises(aelastic.InvalidArgumentError, match="rank: expected 0 to 0, got 3"):
            await supervisor.replace(3)
        for seconds in (0, -1.0, float("nan"), "1"):
            with pytest.raises(aelastic.InvalidArgumentError, match="timeout: expected seconds"):
                await supervisor.replace(0, seconds)  # type: ignore[arg-type]
    with pytest.raises(aelastic.NotRunningError, match="is stopping, or has ended"):
        await supervisor.replace(0)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_only_ranks_with_a_life_of_their_own_are_replaced(strategy: str) -> None:
    async with supervised(STAYS, strategy=strategy) as supervisor:
        with pytest.raises(aelastic.InvalidArgumentError, match=f"with {strategy} no rank lives by itself"):
            await supervisor.replace(0)


# Ready, whichever attempt that takes


@pytest.mark.parametrize("strategy", ["one_for_all", "one_for_one"])
async def test_an_attempt_that_fails_is_no_reason_to_stop_waiting(strategy: str, tmp_path: Path) -> None:
    script = f"[ $TORCHELASTIC_RESTART_COUNT = 2 ] || exit 3; {STAYS}"
    logs = redirected(tmp_path)
    async with supervised(
        STAYS, script, strategy=strategy, logs_specs=logs, readiness=SAYS_READY, restart=AT_ONCE
    ) as supervisor:
        await supervisor.ready(60)
        assert all(seen.ready for seen in supervisor.snapshot().values())
        assert supervisor.snapshot()[1].attempt == 2
        await supervisor.ready(0, rank=1)


@pytest.mark.parametrize("policy", [NO_BUDGET, aelastic.RestartPolicy("never")], ids=["gives up", "never"])
async def test_waiting_ends_when_nobody_starts_it_again(policy: aelastic.RestartPolicy, tmp_path: Path) -> None:
    script = "echo 'cannot open model.bin' >&2; exit 4"
    logs = redirected(tmp_path)
    async with one_for_one(STAYS, script, logs_specs=logs, readiness=SAYS_READY, restart=policy) as supervisor:
        for who in (None, 1, None):
            with pytest.raises(aelastic.NotReadyError) as caught:
                await supervisor.ready(60, who)
            assert (caught.value.rank, caught.value.exitcode) == (1, 4)
            assert caught.value.last_lines == "cannot open model.bin"


async def test_what_is_missing_is_told_in_time(tmp_path: Path) -> None:
    logs = redirected(tmp_path)
    supervisor = one_for_one("exec sleep 600", "exit 3", logs_specs=logs, readiness=SAYS_READY, restart=LATER)
    with pytest.raises(aelastic.NotRunningError):
        await supervisor.ready()
    async with supervisor:
        await next_event(supervisor.events(), aelastic.RankRestarting)
        with pytest.raises(TimeoutError, match=r"within 0 s: rank 0: .*; rank 1: it waits for its restart"):
            await supervisor.ready(0)
        with pytest.raises(aelastic.InvalidArgumentError, match="rank: expected 0 to 1"):
            await supervisor.ready(rank=2)
        waiting = asyncio.create_task(supervisor.ready())
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert supervisor.pids().keys() == {0}


async def test_what_was_ready_and_has_ended_was_ready() -> None:
    async with one_for_one("exit 0", STAYS) as supervisor:
        await supervisor.ready(60)
        await supervisor.stop(1)
        await supervisor.ready(60)
    await supervisor.ready(60)
