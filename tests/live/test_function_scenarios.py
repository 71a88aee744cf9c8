"""What users suffer from, with ranks that run a function: the true first failure, answers, threads that end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers import functions
from tests.helpers.ranks import is_alive

if TYPE_CHECKING:
    from aelastic.conduct.functions import StartMethod

METHODS: list[StartMethod] = ["spawn", "fork", "forkserver"]
HEAVY = {"asyncio", "anyio", "aiofiles", "dataclasses", "inspect", "multiprocessing", "subprocess", "json", "logging"}


@pytest.mark.asyncio
@pytest.mark.parametrize("method", METHODS)
async def test_scenario_8_the_true_first_failure(method: StartMethod) -> None:
    moment = time.time() + 0.7
    args: dict[int, tuple[Any, ...]] = {0: (moment + 0.05, -signal.SIGABRT), 1: (moment, 3), 2: (moment + 60, 0)}
    async with aelastic.start_processes(
        "f", functions.ends_at, args, {0: {}, 1: {}, 2: {}}, start_method=method, failure_grace=0.3
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: -signal.SIGABRT, 1: 3, 2: -signal.SIGTERM}
    assert result.first_failure is result.failures[1]
    assert [failure.collateral for failure in result.failures.values()] == [False, False, True]


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.timeout(120)
@pytest.mark.parametrize("method", METHODS)
async def test_scenario_10_an_answer_of_a_gigabyte(method: StartMethod) -> None:
    count = 1_000_000_000
    async with aelastic.start_processes(
        "f", functions.zeros, {0: (count,), 1: (0,)}, {0: {}, 1: {}}, start_method=method
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert {rank: len(value) for rank, value in result.return_values.items()} == {0: count, 1: 0}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:start_method='fork'")
def test_scenario_13_ranks_outlive_the_threads_that_started_them(method: StartMethod) -> None:
    """Nothing of a rank's life hangs on a thread: it goes on when the starter's helper threads have ended."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    seen: list[tuple[bool, bool]] = []

    async def main() -> None:
        before = set(threading.enumerate())
        async with aelastic.start_processes("f", functions.sleeps, {0: ()}, {0: {}}, start_method=method) as ctx:
            assert ctx._run is not None
            await asyncio.to_thread(ctx._run._executor.shutdown)  # the thread that talked to the fork server
            ended = not {thread for thread in set(threading.enumerate()) - before if "files" in thread.name}
            seen.append((ended, is_alive(ctx.pids()[0])))
            assert {number: signal.getsignal(number) for number in handlers} == handlers
            executor = type(ctx._run._executor)(max_workers=1)
            ctx._run._executor = ctx._run.containment._executor = executor

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(60)
    assert seen == [(True, True)]
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_the_bootstrap_imports_little() -> None:
    code = "import sys, aelastic.worker.bootstrap, aelastic.errors.handler; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=env, check=True)
    assert not HEAVY & set(loaded.stdout.split())
