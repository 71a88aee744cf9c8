"""19. Readiness is not liveness: slow to start, dead before it is ready, ready and then stuck, a port already taken."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic import rank
from tests.helpers.ranks import CHILDREN, child, redirected, shell
from tests.helpers.supervisors import AT_ONCE

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.conduct.functions import StartMethod
    from aelastic.decide.supervision import Strategy

pytestmark = pytest.mark.asyncio

WATCHDOG = 0.3
METHODS: list[StartMethod] = ["spawn", "fork", "forkserver"]


def holds_the_gil(seconds: float) -> float:
    """What an import of something large does: no other thread of this process gets a turn, and no heartbeat leaves."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    rank.ready()
    rank.stopping()
    return seconds


def gets_stuck(word: str) -> None:
    """Make some steps, then none."""
    signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"told to end\n") and os._exit(3))
    rank.ready()
    for step in range(5):
        rank.progress(step, 1000)
    print(word, flush=True)
    stuck_in_a_collective()


def stuck_in_a_collective() -> None:
    """Hold the GIL, as some C code does: only a handler in C can say at once where."""
    while True:
        ctypes.PyDLL(None).usleep(20_000)


@pytest.mark.any_loop
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_a_slow_start_is_no_hang(method: StartMethod) -> None:
    seconds = 3 * WATCHDOG
    async with aelastic.start_processes(
        "slow",
        holds_the_gil,
        {0: (seconds,)},
        {0: {}},
        start_method=method,
        readiness=aelastic.Notify(),
        watchdog=WATCHDOG,
    ) as ctx:
        await ctx.ready()
        result = await ctx.wait()
    assert result is not None
    assert result.return_values == {0: seconds}


@pytest.mark.parametrize("readiness", [aelastic.Notify(), aelastic.TcpProbe(9), aelastic.LogProbe("never")], ids=repr)
async def test_a_rank_that_dies_before_it_is_ready(readiness: aelastic.Readiness, tmp_path: Path) -> None:
    script = "echo loading; echo 'cannot open model.bin' >&2; exit 4"
    async with shell(
        script, "sleep 600", readiness=readiness, logs_specs=redirected(tmp_path), failure_grace=600
    ) as ctx:
        with pytest.raises(aelastic.NotReadyError) as caught:
            await ctx.ready(600)
        assert await ctx.wait(0) is None  # its peer has not ended, and was not waited for
    assert (caught.value.rank, caught.value.exitcode) == (0, 4)
    assert caught.value.last_lines.splitlines() == ["loading", "cannot open model.bin"]


@pytest.mark.any_loop
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_a_rank_that_gets_stuck_shows_its_stacks_is_told_to_end_and_has_failed(
    method: StartMethod, tmp_path: Path
) -> None:
    async with aelastic.start_processes(
        "stuck",
        gets_stuck,
        {0: ("going",)},
        {0: {}},
        start_method=method,
        readiness=aelastic.Notify(),
        watchdog=WATCHDOG,
        shutdown_timeout=60,
        logs_specs=redirected(tmp_path),
    ) as ctx:
        await ctx.ready()
        result = await ctx.wait()
        happened = [event async for event in ctx.events()]
    assert result is not None
    failure = result.first_failure
    assert failure is not None
    assert (failure.exitcode, failure.collateral) == (3, False)
    assert re.fullmatch(r"missed its watchdog: no heartbeat for \d\.\d s", failure.reason)
    stacks, _, end = failure.stderr_tail.partition("told to end")
    assert "in stuck_in_a_collective" in stacks
    assert "in gets_stuck" in stacks
    assert end == ""
    kinds = [type(event) for event in happened]
    kinds.remove(aelastic.RankProgress)
    assert kinds == [
        aelastic.RankStarted,
        aelastic.RankReady,
        aelastic.RankHung,
        aelastic.RankExited,
        aelastic.RunFinished,
    ]


def gets_stuck_at_first(word: str) -> str:
    """Get stuck in the first attempt, and do it all in the second."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        gets_stuck(word)
    rank.ready()
    rank.stopping()
    return word


@pytest.mark.any_loop
@pytest.mark.parametrize("strategy", ["one_for_all", "one_for_one"])
async def test_a_rank_that_gets_stuck_is_replaced(strategy: Strategy, tmp_path: Path) -> None:
    async with aelastic.Supervisor(
        "stuck",
        gets_stuck_at_first,
        {0: ("going",), 1: ("going",)},
        {0: {}, 1: {}},
        redirected(tmp_path),
        strategy=strategy,
        restart=AT_ONCE,
        readiness=aelastic.Notify(),
        watchdog=WATCHDOG,
        shutdown_timeout=60,
    ) as supervisor:
        events = supervisor.events()
        result = await supervisor.wait()
    assert result.return_values == {0: "going", 1: "going"}
    assert not result.is_failed()
    assert result.restarts == (1 if strategy == "one_for_all" else 2)
    stuck = [one for attempt in result.attempts if attempt.number == 0 for one in attempt.failures.values()]
    causes = [one for one in stuck if not one.collateral]
    assert causes
    for one in causes:
        assert re.fullmatch(r"missed its watchdog: no heartbeat for \d\.\d s", one.reason)
        assert "in stuck_in_a_collective" in one.stderr_tail
    happened = [event async for event in events]
    hung = {event.rank for event in happened if isinstance(event, aelastic.RankHung)}
    assert {one.local_rank for one in causes} <= hung
    assert all("missed its watchdog" in one.reason for one in happened if isinstance(one, aelastic.RankRestarting))
    assert {(event.rank, event.attempt) for event in happened if isinstance(event, aelastic.RankReady)} == {
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    }


@pytest.mark.any_loop
async def test_a_port_that_another_process_owns() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, str(CHILDREN / "serves.py"), str(port), "answers"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == b"soon\n"
        # the rank finds its port taken, and tries again until it is free
        script = (
            f"while ! {child('serves', str(port), 'answers').removeprefix('exec ')}; do sleep 0.1; done 2> /dev/null"
        )
        async with shell(script, readiness=aelastic.TcpProbe(port, interval=0.2)) as ctx:
            try:
                with pytest.raises(TimeoutError, match="held by another process, not by the rank"):
                    await ctx.ready(2)
            finally:
                other.terminate()
            assert not ctx.snapshot()[0].ready
            await ctx.ready(60)
