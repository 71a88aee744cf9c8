"""One rank is restarted, stopped and started; there are more of them, and fewer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers.ranks import child, is_alive, redirected
from tests.helpers.supervisors import LATER, STAYS, next_event, one_for_one, said, supervised

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


def states(supervisor: aelastic.Supervisor) -> dict[int, str]:
    return {rank: seen.state.value for rank, seen in supervisor.snapshot().items()}


async def test_restart_replaces_one_rank() -> None:
    async with one_for_one(STAYS, STAYS, restart=aelastic.RestartPolicy(max_restarts=0)) as supervisor:
        before = supervisor.pids()
        await supervisor.restart(1)
        after = supervisor.pids()
        assert after[0] == before[0]
        assert after[1] != before[1]
        assert not is_alive(before[1])
        assert supervisor.snapshot()[1].attempt == 1
        assert supervisor.result is None


async def test_restart_of_a_gang_replaces_all() -> None:
    async with supervised(STAYS, STAYS) as supervisor:
        before = supervisor.pids()
        await supervisor.restart(1)
        after = supervisor.pids()
        assert not set(before.values()) & set(after.values())
        assert not [pid for pid in before.values() if is_alive(pid)]
        await supervisor.restart()
        assert not set(after.values()) & set(supervisor.pids().values())


async def test_restart_of_all_ranks() -> None:
    async with one_for_one(STAYS, STAYS) as supervisor:
        before = supervisor.pids()
        await supervisor.restart()
        assert not set(before.values()) & set(supervisor.pids().values())


async def test_a_restart_that_was_asked_for_does_not_wait_for_the_back_off() -> None:
    supervisor = one_for_one("[ $TORCHELASTIC_RESTART_COUNT = 1 ] || exit 3; exec sleep 600", restart=LATER)
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankRestarting)
        assert states(supervisor) == {0: "waiting"}
        await supervisor.restart(0)
        assert states(supervisor) == {0: "running"}


async def test_what_is_stopped_stays_stopped_until_it_is_started() -> None:
    async with one_for_one(STAYS, "exit 0") as supervisor:
        pid = supervisor.pids()[0]
        await supervisor.stop(0)
        assert not is_alive(pid)
        assert states(supervisor) == {0: "exited", 1: "exited"}
        assert await supervisor.wait(0.05) is None
        await supervisor.start(0)
        assert states(supervisor)[0] == "running"
        await supervisor.start(0)
        assert supervisor.snapshot()[0].attempt == 1


async def test_stop_ends_a_back_off() -> None:
    supervisor = one_for_one("exit 3", STAYS, restart=LATER)
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankRestarting)
        await supervisor.stop(0)
        assert states(supervisor) == {0: "exited", 1: "running"}


async def test_requests_that_overtake_each_other_are_all_answered() -> None:
    async with one_for_one(STAYS, STAYS) as supervisor:
        await asyncio.gather(
            supervisor.restart(0), supervisor.stop(0), supervisor.restart(0), supervisor.start(0), supervisor.stop(0)
        )
        assert states(supervisor) == {0: "exited", 1: "running"}
        await asyncio.gather(supervisor.stop(0), supervisor.start(0), supervisor.restart(0))
        assert states(supervisor) == {0: "running", 1: "running"}


async def test_a_request_that_is_cancelled_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    saving = child("exits_slowly", "0.1", str(file))
    async with one_for_one(saving, STAYS, logs_specs=redirected(tmp_path / "logs")) as supervisor:
        await said(supervisor, "ready", 0)
        events = supervisor.events()
        restarting = asyncio.create_task(supervisor.restart(0))
        await asyncio.sleep(0.02)
        restarting.cancel()
        await asyncio.wait({restarting})
        assert restarting.cancelled()
        await next_event(events, aelastic.RankStarted, rank=0, attempt=1)
        assert file.read_text() == "complete"
        assert states(supervisor)[1] == "running"


async def test_scaling_up_and_down(tmp_path: Path) -> None:
    async with one_for_one(STAYS, logs_specs=redirected(tmp_path)) as supervisor:
        first = supervisor.pids()[0]
        await supervisor.scale(6)
        assert supervisor.nprocs == 6
        pids = supervisor.pids()
        assert len(set(pids.values())) == 6
        assert pids[0] == first
        for rank in range(6):
            assert (await said(supervisor, "ready", rank)).text == "ready 0"
        await supervisor.scale(2)
        assert states(supervisor) == {0: "running", 1: "running"}
        assert not [pids[rank] for rank in range(2, 6) if is_alive(pids[rank])]
        await supervisor.scale(3)
        assert supervisor.snapshot()[2].attempt == 1
    assert supervisor.result is not None
    assert set(supervisor.result.exitcodes) == {0, 1, 2}
    (run_directory,) = tmp_path.iterdir()
    assert {path.name for path in run_directory.iterdir()} == {"attempt_0", "attempt_1"}
    assert [path.name for path in (run_directory / "attempt_1").iterdir()] == ["2"]


async def test_scaling_with_a_readiness_for_some_ranks(tmp_path: Path) -> None:
    readiness = {0: aelastic.LogProbe("ready"), 2: aelastic.LogProbe("ready")}
    logs = redirected(tmp_path)
    async with one_for_one(STAYS, STAYS, STAYS, readiness=readiness, logs_specs=logs) as supervisor:
        events = supervisor.events()
        await supervisor.scale(1)
        assert states(supervisor) == {0: "running"}
        await supervisor.scale(4)
        await next_event(events, aelastic.RankReady, rank=2, attempt=1)
        await supervisor.ready(60)
    with pytest.raises(aelastic.InvalidRanksError, match=r"readiness: .* unexpected: \[7\]"):
        one_for_one(STAYS, readiness={7: aelastic.Notify()})


async def test_new_ranks_can_have_arguments_of_their_own(tmp_path: Path) -> None:
    envs = {rank: {"RANK": str(rank)} for rank in range(4)}
    script = "echo rank $RANK; exec sleep 600"
    supervisor = one_for_one(
        script, script, envs={rank: envs[rank] for rank in (0, 1)}, logs_specs=redirected(tmp_path)
    )
    async with supervisor:
        with pytest.raises(aelastic.InvalidArgumentError, match="envs: rank 2 is new, and the others differ"):
            await supervisor.scale(4)
        assert supervisor.nprocs == 2
        await supervisor.scale(4, envs=envs)
        assert (await said(supervisor, "rank", 3)).text == "rank 3"
        with pytest.raises(aelastic.InvalidArgumentError, match=r"envs\[4\]"):
            await supervisor.scale(5, envs={4: {"A": 1}})  # type: ignore[dict-item]
        assert states(supervisor) == dict.fromkeys(range(4), "running")


async def test_requests_that_make_no_sense_harm_nobody() -> None:
    odd: Any = Odd()
    async with one_for_one(STAYS, STAYS) as supervisor:
        before = supervisor.pids()
        for request in (supervisor.restart("0"), supervisor.stop(1.0), supervisor.start([])):  # type: ignore[arg-type]
            with pytest.raises(aelastic.InvalidArgumentError, match="rank: expected a number"):
                await request
        with pytest.raises(TypeError):
            await supervisor.scale(3, args=5)  # type: ignore[arg-type]
        with pytest.raises(aelastic.InvalidArgumentError, match=r"args\[2\]: expected a tuple"):
            await supervisor.scale(3, args={2: odd})
        await supervisor.scale(2)
        assert supervisor.pids() == before


class Odd:
    """What does not want to be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not with me")

    __hash__ = None  # type: ignore[assignment]


async def test_two_requests_for_more_ranks_in_one_turn() -> None:
    args = {rank: ("-c", f"exec sleep 60{rank}") for rank in range(4)}
    supervisor = aelastic.Supervisor("w", "/bin/sh", {0: args[0]}, {0: {}}, strategy="one_for_one")
    async with supervisor:
        await asyncio.gather(
            supervisor.scale(3, {1: args[1], 2: args[2]}), supervisor.scale(4, {3: args[3]}), supervisor.restart(0)
        )
        assert states(supervisor) == dict.fromkeys(range(4), "running")
        await asyncio.gather(supervisor.scale(2), supervisor.scale(4))
        assert states(supervisor) == dict.fromkeys(range(4), "running")


@pytest.mark.parametrize("count", [0, -1, 1.5])
async def test_there_is_always_a_rank(count: int) -> None:
    async with one_for_one(STAYS) as supervisor:
        with pytest.raises(aelastic.InvalidArgumentError, match="nprocs: expected 1 or more"):
            await supervisor.scale(count)


async def test_a_rank_that_is_not_there() -> None:
    async with one_for_one(STAYS) as supervisor:
        for request in (supervisor.restart, supervisor.stop, supervisor.start):
            with pytest.raises(aelastic.InvalidArgumentError, match="rank: expected 0 to 0, got 7"):
                await request(7)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_only_ranks_with_a_life_of_their_own_are_stopped_alone(strategy: str) -> None:
    async with supervised(STAYS, strategy=strategy) as supervisor:
        for request in (supervisor.stop(0), supervisor.start(0), supervisor.scale(2)):
            with pytest.raises(aelastic.InvalidArgumentError, match=f"with {strategy} no rank lives by itself"):
                await request


async def test_after_the_end_nothing_can_be_asked_for() -> None:
    async with one_for_one(STAYS) as supervisor:
        pass
    for request in (supervisor.restart(), supervisor.restart(0), supervisor.stop(0), supervisor.start(0)):
        with pytest.raises(aelastic.NotRunningError, match="is stopping, or has ended"):
            await request


async def test_what_is_asked_while_it_ends_is_refused(tmp_path: Path) -> None:
    saving = child("exits_slowly", "0.1", str(tmp_path / "checkpoint"))
    async with one_for_one(saving, logs_specs=redirected(tmp_path / "logs")) as supervisor:
        await said(supervisor, "ready")
        supervisor.request_stop()
        with pytest.raises(aelastic.NotRunningError, match="is stopping, or has ended"):
            await supervisor.restart(0)


async def test_a_request_is_answered_when_the_supervisor_is_closed_meanwhile(tmp_path: Path) -> None:
    saving = child("exits_slowly", "0.2", str(tmp_path / "checkpoint"))
    async with one_for_one(saving, logs_specs=redirected(tmp_path / "logs")) as supervisor:
        await said(supervisor, "ready")
        restarting = asyncio.create_task(supervisor.restart(0))
        await asyncio.sleep(0.05)
        await supervisor.close()
        await restarting
    assert supervisor.result is not None
    assert supervisor.result.restarts == 0
