"""16. A restart storm, and what calms it: back-off with jitter, a budget, a stable time, a bound on what is left."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic.decide.restarts import Outcome, RestartPolicy
from tests.helpers.apps import LOOPS, Application
from tests.helpers.logs import Heartbeat
from tests.helpers.ranks import redirected
from tests.helpers.supervisors import next_event, supervised
from tests.helpers.worlds import World

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

SEEDS = range(200)
BUSIEST = 0.25  # seconds of processor time in one turn of the loop

# Without a clock


def die(world: World, after: float, outcome: Outcome = Outcome.FAILED) -> float | None:
    """The one unit starts, and ends after so many seconds; how long it takes to the next start, if there is one."""
    (life,) = world.of(0)
    if outcome is not Outcome.NOT_STARTED:
        world.complete(life)
        world.wait(after)
    world.end(life, outcome)
    ended_at = world.now
    if world.supervision.next_deadline is not None:
        world.wait_until_due()
    return world.now - ended_at if world.of(0) else None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_STARTED])
def test_delays_follow_the_policy_and_begin_anew_after_a_stable_time(outcome: Outcome) -> None:
    policy = RestartPolicy(
        max_restarts=None, backoff=1, factor=2, max_backoff=30, jitter=0.2, stable_after=60, retry_start=True
    )
    steady = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    seen: list[float] = []
    for seed in SEEDS:
        world = World(1, "one_for_one", policy, random.Random(seed).random)
        storm = [die(world, 0.0, outcome) for _ in range(10)]
        after_a_stable_time = die(world, 60.0)
        for delay, expected in zip([*storm, after_a_stable_time], [*steady, 1], strict=True):
            assert delay is not None
            assert expected * 0.8 - 1e-9 <= delay <= min(expected * 1.2, 30) + 1e-9
            seen.append(delay / expected)
    assert min(seen) < 0.81, "there is no jitter"
    assert max(seen) > 1.19, "there is no jitter"


def test_starts_in_a_period_are_bounded() -> None:
    """However long each attempt lasts, no period has more than the first start and the restarts allowed."""
    gave_up = 0
    for seed in SEEDS:
        chance = random.Random(seed)
        policy = RestartPolicy(
            max_restarts=chance.randint(1, 5), period=chance.choice([5.0, 50.0]), backoff=chance.choice([0.0, 1.0, 9.0])
        )
        world = World(1, "one_for_one", policy, chance.random)
        for _ in range(100):
            if not world.gave_up:
                die(world, chance.choice([0.0, 1.0, 20.0]))
        times = [at for at, _, _ in world.starts]
        assert policy.period is not None
        assert policy.max_restarts is not None
        for end in times:
            within = [at for at in times if end - policy.period < at <= end]
            assert len(within) <= 1 + policy.max_restarts
        gave_up += bool(world.gave_up)
    assert 0 < gave_up < len(SEEDS)


# With processes


@pytest.mark.asyncio
async def test_a_missing_program_with_endless_retries(tmp_path: Path) -> None:
    policy = aelastic.RestartPolicy(max_restarts=None, backoff=0.001, max_backoff=0.002, retry_start=True)
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), redirects=aelastic.Std.ALL, keep_attempts=5)
    supervisor = aelastic.Supervisor(
        "w", "/no/such/program", {0: ()}, {0: {}}, specs, strategy="one_for_one", restart=policy
    )
    events = supervisor.events()
    descriptors = len(os.listdir("/proc/self/fd"))
    async with supervisor:
        with Heartbeat() as heart:
            restarting = await next_event(events, aelastic.RankRestarting, attempt=110)
            assert restarting.delay <= 0.002
            assert len(os.listdir("/proc/self/fd")) <= descriptors + 5
            (run_directory,) = tmp_path.iterdir()
            assert len(list(run_directory.iterdir())) <= 6
        assert heart.busiest < BUSIEST
    result = supervisor.result
    assert result is not None
    assert len(result.attempts) == 100
    assert not any(one.started for one in result.attempts)
    with pytest.raises(aelastic.ChildFailedError, match="the program was not found"):
        result.raise_for_failures()


@pytest.mark.asyncio
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_program_that_fails_at_once_again_and_again(strategy: Strategy, tmp_path: Path) -> None:
    specs = redirected(tmp_path, keep_attempts=3)
    policy = aelastic.RestartPolicy(max_restarts=20, backoff=0.001, max_backoff=0.01)
    supervisor = supervised("echo words; exit 3", strategy=strategy, restart=policy, logs_specs=specs)
    with Heartbeat() as heart:
        async with supervisor:
            result = await supervisor.wait()
    assert heart.busiest < BUSIEST
    assert result.restarts == 20
    assert [one.number for one in result.attempts] == list(range(21))
    assert result.gave_up == "rank 0 exited with code 3, and the 20 restarts allowed were used up"
    with pytest.raises(aelastic.ChildFailedError):
        result.raise_for_failures()
    (run_directory,) = tmp_path.iterdir()
    assert {path.name for path in run_directory.iterdir()} == {"attempt_18", "attempt_19", "attempt_20"}
    assert (run_directory / "attempt_20" / "0" / "stdout.log").read_text() == "words\n"


@pytest.mark.parametrize("loop", LOOPS)
def test_giving_up_ends_the_application_with_a_failure(loop: str) -> None:
    with Application("app_gives_up", loop) as app:
        ended = app.ended()
        assert ended.code == 1
        assert "w FAILED" in ended.err
        assert app.survivors() == []
