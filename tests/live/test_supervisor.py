"""Restarts with real processes: who is started again, what is told, and what is left in the end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.conduct.run import Run
from aelastic.elastic.options import RunOptions
from aelastic.process.guardian import _guardians
from tests.helpers import functions
from tests.helpers.apps import reaped
from tests.helpers.ranks import is_alive, redirected
from tests.helpers.supervisors import (
    AT_ONCE,
    ENDLESS,
    LATER,
    STAYS,
    fails_until,
    next_event,
    one_for_one,
    said,
    supervised,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

pytestmark = pytest.mark.asyncio

STRATEGIES: tuple[Strategy, ...] = ("one_for_all", "one_for_one", "rest_for_one")
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
SAYS_ITS_LIMITS = 'echo "$TORCHELASTIC_RESTART_COUNT of $TORCHELASTIC_MAX_RESTARTS"; '


async def result_of(supervisor: aelastic.Supervisor) -> aelastic.RunProcsResult:
    """Run it to its end."""
    async with supervisor:
        return await supervisor.wait()


def outlines(result: aelastic.RunProcsResult) -> list[tuple[int, tuple[int, ...], dict[int, int]]]:
    """The attempts: number, ranks, exit codes."""
    return [(one.number, one.ranks, one.exitcodes) for one in result.attempts]


def text_of(path: str) -> str:
    with open(path) as file:
        return file.read()


# Strategies


@each_strategy
async def test_what_succeeds_is_not_started_again(strategy: Strategy) -> None:
    result = await result_of(supervised("exit 0", "exit 0", strategy=strategy))
    assert result.exitcodes == {0: 0, 1: 0}
    assert result.return_values == {0: None, 1: None}
    assert (result.restarts, result.gave_up, result.is_failed()) == (0, "", False)
    assert {one.number for one in result.attempts} == {0}
    result.raise_for_failures()


async def test_a_gang_restarts_together(tmp_path: Path) -> None:
    scripts = [SAYS_ITS_LIMITS + fails_until(2), SAYS_ITS_LIMITS + fails_until(2, "exec sleep 0.1")]
    result = await result_of(supervised(*scripts, logs_specs=redirected(tmp_path)))
    assert result.exitcodes == {0: 0, 1: 0}
    assert result.restarts == 2
    assert [(one.number, one.ranks) for one in result.attempts] == [(number, (0, 1)) for number in range(3)]
    assert [bool(one.failures) for one in result.attempts] == [True, True, False]
    for number, attempt in enumerate(result.attempts):
        for rank in (0, 1):
            assert attempt.stdouts[rank].endswith(f"/attempt_{number}/{rank}/stdout.log")
        assert f"{number} of 3\n" in {text_of(path) for path in attempt.stdouts.values()}
    assert result.stdouts == result.attempts[-1].stdouts
    (run_directory,) = tmp_path.iterdir()
    assert sorted(path.name for path in run_directory.iterdir()) == ["attempt_0", "attempt_1", "attempt_2"]


async def test_one_for_one_restarts_the_one(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    others = f"until [ -e {flag} ]; do sleep 0.01; done"
    fails = fails_until(2, f"echo > {flag}")
    supervisor = one_for_one(others, fails, others, logs_specs=redirected(tmp_path / "logs"))
    result = await result_of(supervisor)
    assert result.exitcodes == {0: 0, 1: 0, 2: 0}
    assert outlines(result)[:2] == [(0, (1,), {1: 3}), (1, (1,), {1: 3})]
    assert sorted(outlines(result)[2:], key=lambda one: one[1]) == [
        (0, (0,), {0: 0}),
        (2, (1,), {1: 0}),
        (0, (2,), {2: 0}),
    ]
    assert [result.stdouts[rank].rsplit("/", 3)[1:] for rank in range(3)] == [
        ["attempt_0", "0", "stdout.log"],
        ["attempt_2", "1", "stdout.log"],
        ["attempt_0", "2", "stdout.log"],
    ]
    assert len({os.path.dirname(path.rsplit("/", 2)[0]) for path in result.stdouts.values()}) == 1


async def test_a_rank_by_itself_keeps_its_number(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), tee=aelastic.Std.ALL)
    envs = {rank: {"RANK": str(rank)} for rank in range(3)}
    scripts = ["exit 0", "exit 0", "echo I am $RANK; echo last words >&2; exit 7"]
    supervisor = one_for_one(
        *scripts, envs=envs, name="name", logs_specs=specs, restart=aelastic.RestartPolicy("never")
    )
    result = await result_of(supervisor)
    failure = result.failures[2]
    assert (failure.local_rank, failure.exitcode, failure.stderr_tail) == (2, 7, "last words")
    assert result.first_failure is failure
    out, err = capfd.readouterr()
    assert out == "[name2]:I am 2\n"
    assert err == "[name2]:last words\n"


async def test_rest_for_one_restarts_those_after_it_in_order(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.touch()
    stays = f"trap 'echo stop $RANK >> {trace}; exit 0' TERM; echo start $RANK >> {trace}; sleep 600 & wait"
    fails = f"until [ $(grep -c start {trace}) = 2 ]; do sleep 0.01; done; exit 3"
    scripts = [stays, f"[ $TORCHELASTIC_RESTART_COUNT -ge 1 ] || {{ {fails}; }}; {stays}", stays]
    envs = {rank: {"RANK": str(rank)} for rank in range(3)}
    supervisor = supervised(*scripts, envs=envs, strategy="rest_for_one")
    events = supervisor.events()
    async with supervisor:
        while trace.read_text().count("start") < 4:  # noqa: ASYNC110 - they say so in a file
            await asyncio.sleep(0.01)
    assert [line for line in trace.read_text().split("\n") if "stop" in line] == [
        "stop 2",
        "stop 2",
        "stop 1",
        "stop 0",
    ]
    started = [(event.rank, event.attempt) async for event in events if isinstance(event, aelastic.RankStarted)]
    assert started == [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1)]
    assert supervisor.result is not None
    assert supervisor.result.restarts == 2


# When, and how often


async def test_never() -> None:
    result = await result_of(one_for_one("exit 3", "exit 0", restart=aelastic.RestartPolicy("never")))
    assert result.exitcodes == {0: 3, 1: 0}
    assert (result.restarts, result.gave_up) == (0, "")
    with pytest.raises(aelastic.ChildFailedError):
        result.raise_for_failures()


@each_strategy
async def test_always(strategy: Strategy) -> None:
    supervisor = supervised("exit 0", strategy=strategy, restart=ENDLESS)
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankStarted, attempt=3)
    assert supervisor.result is not None
    assert not supervisor.result.gave_up


@each_strategy
async def test_giving_up_is_visible(strategy: Strategy) -> None:
    scripts = [STAYS, "exit 3", STAYS] if strategy == "one_for_one" else [STAYS, "exit 3"]
    supervisor = supervised(*scripts, strategy=strategy, restart=aelastic.RestartPolicy(max_restarts=2, backoff=0))
    events = supervisor.events()
    result = await result_of(supervisor)
    assert result.gave_up == "rank 1 exited with code 3, and the 2 restarts allowed were used up"
    assert result.first_failure is not None
    assert (result.first_failure.local_rank, result.first_failure.exitcode) == (1, 3)
    assert {rank for rank, one in result.failures.items() if one.collateral} == {*range(len(scripts))} - {1}
    with pytest.raises(aelastic.ChildFailedError, match="w FAILED"):
        result.raise_for_failures()
    told = [event async for event in events]
    (gave_up,) = (event for event in told if isinstance(event, aelastic.GaveUp))
    assert (gave_up.rank, gave_up.reason) == (1, result.gave_up)
    assert told[-1] == aelastic.RunFinished(result, told[-1].time)
    assert len([event for event in told if isinstance(event, aelastic.RankStarted) and event.rank == 1]) == 3


async def test_ending_well_too_often_is_a_failure() -> None:
    result = await result_of(one_for_one("exit 0", restart=aelastic.RestartPolicy("always", max_restarts=1, backoff=0)))
    assert result.gave_up == "rank 0 exited with code 0, and the one restart allowed was used up"
    assert result.is_failed()
    assert result.return_values == {}
    with pytest.raises(aelastic.ChildFailedError, match="the one restart allowed was used up"):
        result.raise_for_failures()


async def test_without_a_budget_ranks_are_told_of_no_limit(tmp_path: Path) -> None:
    script = 'echo "limit [$TORCHELASTIC_MAX_RESTARTS]"'
    result = await result_of(
        supervised(script, restart=aelastic.RestartPolicy(max_restarts=None), logs_specs=redirected(tmp_path))
    )
    assert text_of(result.stdouts[0]) == "limit []\n"


# Starts that fail


@each_strategy
async def test_a_missing_program_fails_the_start(strategy: Strategy) -> None:
    args, envs = {0: (), 1: ()}, {0: {}, 1: {"PATH": "/nowhere"}}
    supervisor = aelastic.Supervisor("w", "true", args, envs, strategy=strategy)
    events = supervisor.events()
    with pytest.raises(FileNotFoundError, match="rank 1: the program was not found"):
        await supervisor.start()
    assert [event async for event in events if isinstance(event, aelastic.RankStarted | aelastic.GaveUp)][-1:]
    assert supervisor.result is None
    with pytest.raises(FileNotFoundError):
        await supervisor.wait()
    await supervisor.close()


async def test_a_start_that_fails_stops_those_that_had_started() -> None:
    args: dict[int, tuple[str, ...]] = {0: ("600",), 1: ("600",)}
    supervisor = aelastic.Supervisor(
        "w", "sleep", args, {0: {}, 1: {"PATH": "/nowhere"}}, strategy="rest_for_one", restart=ENDLESS
    )
    events = supervisor.events()
    with pytest.raises(FileNotFoundError):
        await supervisor.start()
    started = [event async for event in events if isinstance(event, aelastic.RankStarted)]
    assert [event.rank for event in started] == [0]
    assert not is_alive(started[0].pid)


@each_strategy
async def test_a_missing_program_can_be_waited_for(strategy: Strategy, tmp_path: Path) -> None:
    program = tmp_path / "late"
    policy = aelastic.RestartPolicy(max_restarts=None, backoff=0.01, max_backoff=0.01, retry_start=True)
    supervisor = aelastic.Supervisor("w", str(program), {0: ()}, {0: {}}, strategy=strategy, restart=policy)
    events = supervisor.events()
    async with supervisor:
        restarting = await next_event(events, aelastic.RankRestarting, attempt=2)
        assert "could not be started: [Errno 2] rank 0: the program was not found" in restarting.reason
        (tmp_path / "new").write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / "new").chmod(0o755)
        (tmp_path / "new").rename(program)
        result = await supervisor.wait()
    assert result.exitcodes == {0: 0}
    first, last = result.attempts[0], result.attempts[-1]
    assert (first.started, first.exitcodes, first.failures[0].exitcode) == (False, {}, 127)
    assert last.started


async def test_a_program_that_has_vanished_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nrm $0; exit 3\n")
    program.chmod(0o755)
    result = await result_of(aelastic.Supervisor("w", str(program), {0: ()}, {0: {}}, restart=AT_ONCE))
    assert "could not be started: [Errno 2]" in result.gave_up
    assert result.first_failure is not None
    assert result.first_failure.exitcode == 127
    assert "could not be started" in result.first_failure.reason
    assert [one.started for one in result.attempts] == [True, False]
    with pytest.raises(aelastic.ChildFailedError, match="could not be started"):
        result.raise_for_failures()


# What is told


async def test_events_can_be_asked_for_at_any_time_by_anybody() -> None:
    supervisor = one_for_one(fails_until(1))
    early = supervisor.events()
    async with supervisor:
        during = supervisor.events()
        await supervisor.wait()
    late = [event async for event in supervisor.events()]
    assert [event async for event in early] == [event async for event in during] == late
    assert [str(event).replace(str(getattr(event, "pid", "")), "PID") for event in late if hasattr(event, "pid")] == [
        "rank 0 started with pid PID",
        "rank 0 exited with code 3",
        "rank 0 started with pid PID (attempt 1)",
        "rank 0 exited with code 0",
    ]
    assert [type(event).__name__ for event in late] == [
        "RankStarted",
        "RankExited",
        "RankRestarting",
        "RankStarted",
        "RankExited",
        "RunFinished",
    ]
    assert [event.time for event in late] == sorted(event.time for event in late)
    assert len(json.dumps([event.to_dict() for event in late])) > 100


async def test_the_events_of_a_gang_name_the_attempt() -> None:
    supervisor = supervised(fails_until(1), fails_until(1))
    events = supervisor.events()
    result = await result_of(supervisor)
    told = [event async for event in events]
    assert {(event.rank, event.attempt) for event in told if isinstance(event, aelastic.RankStarted)} == {
        (rank, attempt) for rank in (0, 1) for attempt in (0, 1)
    }
    assert len([event for event in told if isinstance(event, aelastic.RankRestarting)]) == 2
    assert next(event for event in told if isinstance(event, aelastic.RunFinished)).result is result


async def test_the_events_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = supervised("exit 3", "exit 3", restart=aelastic.RestartPolicy(max_restarts=1, backoff=0))
    events = supervisor.events()
    with caplog.at_level(logging.INFO, "aelastic"):
        await result_of(supervisor)
    told = [event async for event in events]
    records = [record for record in caplog.records if record.name == "aelastic.events"]
    assert [record.getMessage() for record in records] == list(map(str, told))
    assert [vars(record)["aelastic"] for record in records] == [event.to_dict() for event in told]
    assert {record.levelno for record in records} == {logging.INFO}


async def test_restarts_and_giving_up_are_heard_of_without_a_subscription(caplog: pytest.LogCaptureFixture) -> None:
    await result_of(supervised("exit 3", "exec sleep 600", restart=aelastic.RestartPolicy(max_restarts=1, backoff=0)))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "every rank starts again in 0 s: rank 0 exited with code 3"),
        ("ERROR", "gave up restarting 'w': rank 0 exited with code 3, and the one restart allowed was used up"),
    ]


async def test_lines_of_all_attempts(tmp_path: Path) -> None:
    supervisor = one_for_one(
        *[f"echo line $TORCHELASTIC_RESTART_COUNT; {fails_until(2)}"] * 2, logs_specs=redirected(tmp_path)
    )
    early, of_one, small = supervisor.logs(), supervisor.logs(rank=1), supervisor.logs(capacity=1)
    async with supervisor:
        await supervisor.wait()
    lines = [(line.rank, line.text) async for line in early]
    assert sorted(lines) == [(rank, f"line {number}") for rank in (0, 1) for number in range(3)]
    assert [line.text async for line in of_one] == ["line 0", "line 1", "line 2"]
    assert len([line async for line in small]) == 1
    assert small.dropped == 5
    assert [line async for line in supervisor.logs()] == []


async def test_lines_begin_with_what_is_remembered(tmp_path: Path) -> None:
    async with one_for_one(STAYS, logs_specs=redirected(tmp_path)) as supervisor:
        assert (await said(supervisor, "ready")).text == "ready 0"
        assert (await said(supervisor, "ready")).text == "ready 0"


async def test_a_subscription_that_nobody_holds_is_forgotten(tmp_path: Path) -> None:
    async with one_for_one(STAYS, logs_specs=redirected(tmp_path)) as supervisor:
        await said(supervisor, "ready")
        for _ in range(50):
            supervisor.logs()
            supervisor.events()
        gc.collect()
        await supervisor.restart(0)
        await said(supervisor, "ready 1")
        assert len(supervisor._lines._listeners) <= 2
        assert len(supervisor._story._subscriptions) <= 2


async def test_snapshots(tmp_path: Path) -> None:
    supervisor = one_for_one("exit 3", STAYS, "exit 0", restart=LATER, logs_specs=redirected(tmp_path))
    events = supervisor.events()
    async with supervisor:
        await said(supervisor, "ready", 1)
        await next_event(events, aelastic.RankRestarting, rank=0, attempt=1)
        await next_event(supervisor.events(), aelastic.RankExited, rank=2)
        await asyncio.sleep(0.05)
        seen = supervisor.snapshot()
        assert [seen[rank].state.value for rank in range(3)] == ["waiting", "running", "exited"]
        assert [seen[rank].exitcode for rank in range(3)] == [3, None, 0]
        assert seen[1].last_line == "ready 0"
        assert supervisor.pids() == {1: seen[1].pid}
        await supervisor.restart(0)
        assert supervisor.snapshot()[0].attempt == 1
    assert supervisor.pids() == {}
    assert {one.state for one in supervisor.snapshot().values()} == {aelastic.RankState.EXITED}


async def test_wait_looks_without_stopping() -> None:
    async with supervised(STAYS) as supervisor:
        assert await supervisor.wait(0) is None
        assert await supervisor.wait(0.01) is None
        assert supervisor.result is None
        assert len(supervisor.pids()) == 1
    assert await supervisor.wait(0) is supervisor.result


async def test_signals_reach_the_ranks(tmp_path: Path) -> None:
    answers = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done"
    async with one_for_one(answers, answers, logs_specs=redirected(tmp_path)) as supervisor:
        for rank in (0, 1):
            await said(supervisor, "ready", rank)
        supervisor.send_signal(10, 1)
        await said(supervisor, "got it", 1)
        supervisor.send_signal(10)
        await said(supervisor, "got it", 0)
        with pytest.raises(aelastic.InvalidArgumentError, match="rank: expected 0 to 1, got 2"):
            supervisor.send_signal(10, 2)


# Functions


@pytest.mark.parametrize(
    ("strategy", "method"), [("one_for_all", "spawn"), ("one_for_one", "fork"), ("rest_for_one", "forkserver")]
)
async def test_functions_bring_their_values_home(strategy: Strategy, method: Any) -> None:
    supervisor = aelastic.Supervisor(
        "f",
        functions.fails_first,
        {0: ("zero",), 1: ("one",)},
        {0: {}, 1: {}},
        strategy=strategy,
        restart=AT_ONCE,
        start_method=method,
    )
    result = await result_of(supervisor)
    assert result.return_values == {0: "zero", 1: "one"}, result.failures
    assert result.restarts >= 1


# What is left


async def test_many_restarts_leave_nothing_in_memory() -> None:
    supervisor = one_for_one("exit 0", restart=ENDLESS)
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankStarted, attempt=110)
        gc.collect()
        assert len([one for one in gc.get_objects() if type(one) is Run]) <= 10
        assert len([one for one in threading.enumerate() if "aelastic" in one.name]) <= 4
    assert supervisor.result is not None
    assert supervisor.result.restarts >= 110
    assert len(supervisor.result.attempts) == 100


# Arguments


async def test_arguments_are_checked_at_once() -> None:
    with pytest.raises(aelastic.InvalidRanksError, match="envs: "):
        aelastic.Supervisor("w", "true", {0: ()}, {})
    with pytest.raises(aelastic.InvalidArgumentError, match=r"strategy: expected .* got 'none'"):
        supervised("", strategy="none")
    with pytest.raises(aelastic.InvalidArgumentError, match="shutdown_timeout"):
        supervised("", shutdown_timeout=-1)
    with pytest.raises(TypeError, match="no_option"):
        supervised("", no_option=1)


async def test_it_takes_everything_that_start_processes_takes() -> None:
    taken = inspect.signature(aelastic.start_processes).parameters.keys()
    own = inspect.signature(aelastic.Supervisor).parameters.keys() - {"strategy", "restart", "options"}
    assert own | RunOptions.__annotations__.keys() == taken


async def test_a_supervisor_starts_once() -> None:
    async with supervised("exit 0") as supervisor:
        with pytest.raises(ValueError, match="was started already"):
            await supervisor.start()


async def test_before_the_start_there_is_nothing_to_see() -> None:
    supervisor = supervised("exit 0")
    with pytest.raises(aelastic.NotRunningError, match="was not started"):
        await supervisor.wait()
    with pytest.raises(aelastic.NotRunningError, match="was not started"):
        supervisor.snapshot()
    await supervisor.close()
    assert supervisor.result is None
    supervisor.request_stop()
    with pytest.raises(aelastic.NotRunningError, match="was told to stop before"):
        await supervisor.start()


@pytest.mark.parametrize("where", ["aelastic.decide.gang.Gang.exited", "aelastic.decide.supervision.Supervision.ended"])
async def test_a_fault_of_ours_ends_everything_and_is_told(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    supervisor = await one_for_one(STAYS, STAYS).start()
    pids, guardian = supervisor.pids(), _guardians[asyncio.get_running_loop()]
    monkeypatch.setattr(where, fault)
    supervisor.send_signal(signal.SIGKILL, 0)
    with pytest.raises((aelastic.AelasticError, ZeroDivisionError)):
        await supervisor.wait()
    assert "the supervisor of 'w' was broken off" in caplog.text
    assert supervisor.result is None
    for pid in pids.values():
        assert await reaped(pid)
    with pytest.raises(aelastic.NotRunningError):
        await supervisor.restart(0)
    await supervisor.close()
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    await guardian.gone
