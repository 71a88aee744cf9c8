"""Ranks that run a Python function, by each way of making their process."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.logs.pipe import open_ends
from tests.helpers import functions
from tests.helpers.ranks import is_alive, line_of, redirected

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.conduct.context import Starting
    from aelastic.conduct.functions import StartMethod

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["spawn", "fork", "forkserver"])
def method(request: pytest.FixtureRequest) -> StartMethod:
    chosen: StartMethod = request.param
    return chosen


def ranks(
    function: Callable[..., Any], *args: tuple[Any, ...], method: StartMethod = "spawn", **options: Any
) -> Starting[aelastic.MultiprocessContext]:
    """One rank per tuple of arguments."""
    options.setdefault("envs", {rank: {} for rank in range(len(args))})
    return aelastic.start_processes("f", function, dict(enumerate(args)), start_method=method, **options)


async def run(
    function: Callable[..., Any], *args: tuple[Any, ...], method: StartMethod = "spawn", **options: Any
) -> aelastic.RunProcsResult:
    async with ranks(function, *args, method=method, **options) as ctx:
        result = await ctx.wait()
    assert result is not None
    return result


async def test_values_come_home(method: StartMethod) -> None:
    values = [None, 1, "text", {"a": [1, 2]}, b"x" * 3_000_000]
    result = await run(functions.echo, *((value,) for value in values), method=method)
    assert not result.is_failed()
    assert result.return_values == dict(enumerate(values))


async def test_each_rank_has_its_environment(method: StartMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_APPLICATION", "a")
    envs = {0: {"OWN": "0"}, 1: {"OWN": "1"}}
    names = ("OWN", "FROM_APPLICATION", "PYTHONUNBUFFERED")
    result = await run(functions.environment, names, names, method=method, envs=envs)
    assert result.return_values == {0: ["0", "a", "1"], 1: ["1", "a", "1"]}
    assert "OWN" not in os.environ


async def test_the_environment_is_there_when_modules_are_imported() -> None:
    result = await run(functions.seen_at_import, (), (), envs={0: {"SEEN_AT_IMPORT": "0"}, 1: {"SEEN_AT_IMPORT": "1"}})
    assert result.return_values == {0: "0", 1: "1"}


async def test_output_is_captured_and_input_is_empty(method: StartMethod, tmp_path: Path) -> None:
    result = await run(functions.echo, ("a",), (1,), method=method, logs_specs=redirected(tmp_path))
    assert Path(result.stdouts[0]).read_text() == "returning str\n"
    assert Path(result.stdouts[1]).read_text() == "returning int\n"
    assert (await run(functions.reads_input, (), method=method)).return_values == {0: ""}


async def test_what_c_code_prints_is_written_out(method: StartMethod, tmp_path: Path) -> None:
    result = await run(functions.prints_in_c, ("from C",), method=method, logs_specs=redirected(tmp_path))
    assert Path(result.stdouts[0]).read_text() == "from C\n"


async def test_an_import_error_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fine_here.py").write_text(
        "import os\ndef work(): pass\nif os.environ.get('IN_RANK'): raise ImportError('broken there')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import fine_here  # type: ignore[import-not-found]

    result = await run(fine_here.work, (), envs={0: {"IN_RANK": "1"}}, logs_specs=redirected(tmp_path / "logs"))
    assert "broken there" in Path(result.stderrs[0]).read_text()
    assert result.failures[0].reason == "exited with code 1: ImportError: broken there"


async def test_coroutine_functions_run(method: StartMethod) -> None:
    result = await run(functions.doubled_later, (1,), (2,), method=method)
    assert result.return_values == {0: 2, 1: 4}


async def test_a_coroutine_cleans_up_within_the_grace(method: StartMethod, tmp_path: Path) -> None:
    note = tmp_path / "note"
    specs = redirected(tmp_path / "logs")
    async with ranks(functions.cleans_up, (str(note),), method=method, logs_specs=specs) as ctx:
        await line_of(ctx, "ready")
        await ctx.close()
    assert note.read_text() == "cleaned up"
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGTERM}


async def test_lambdas_and_closures(method: StartMethod) -> None:
    offset = 10
    result = await run(lambda value: value + offset, (1,), (2,), method=method)
    assert result.return_values == {0: 11, 1: 12}


async def test_arguments_must_be_a_tuple() -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match=r"args\[0\]"):
        aelastic.start_processes("f", functions.echo, {0: "text"}, {0: {}})


async def test_an_unknown_start_method_is_refused() -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="start_method"):
        ranks(functions.echo, (1,), method="thread")  # type: ignore[arg-type]


# How a rank may end


async def test_exit_codes_and_texts(method: StartMethod, tmp_path: Path) -> None:
    specs = redirected(tmp_path)
    acts = [("exits", 3), ("exits", "the text"), ("is killed", signal.SIGSEGV)]
    result = await run(functions.act, *acts, method=method, logs_specs=specs, failure_grace=30)
    assert result.exitcodes == {0: 3, 1: 1, 2: -signal.SIGSEGV}
    assert "the text" in result.failures[1].stderr_tail
    assert not any(failure.collateral for failure in result.failures.values())


async def test_exceptions_are_told_with_notes_and_causes(method: StartMethod) -> None:
    result = await run(functions.chained, (), method=method)
    failure = result.failures[0]
    assert isinstance(failure.message, dict)
    assert failure.message["message"] == "ValueError: the effect"
    callstack = failure.message["extraInfo"]["py_callstack"]
    assert "KeyError: 'the cause'" in callstack
    assert "a note" in callstack
    assert json.loads(Path(failure.error_file).read_text()) == failure.error_file_data


async def test_every_failing_rank_is_reported(method: StartMethod) -> None:
    acts = [("raises", str(rank)) for rank in range(4)]
    result = await run(functions.act, *acts, method=method, failure_grace=30)
    assert {rank: failure.reason for rank, failure in result.failures.items()} == {
        rank: f"exited with code 1: ValueError: {rank}" for rank in range(4)
    }


async def test_record_on_the_function_itself_does_no_harm() -> None:
    result = await run(functions.recorded_itself, ())
    assert result.failures[0].reason == "exited with code 1: OSError: told twice"


async def test_a_rank_that_ends_before_it_has_received_everything(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "fails_there.py").write_text(
        "import os\ndef work(data): pass\nif os.environ.get('IN_RANK'): os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import fails_there  # type: ignore[import-not-found]

    result = await run(fails_there.work, (bytes(30_000_000),), envs={0: {"IN_RANK": "1"}})
    assert result.exitcodes == {0: 7}


async def test_closing_while_a_rank_does_not_read(method: StartMethod) -> None:
    async with ranks(functions.echo, (bytes(30_000_000),), method=method, shutdown_timeout=0.2) as ctx:
        ctx.send_signal(signal.SIGSTOP)
        assert await ctx.wait(0.05) is None
        await ctx.close()
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGTERM}


# multiprocessing's own objects


async def test_multiprocessing_objects_can_be_passed(method: StartMethod) -> None:
    context = multiprocessing.get_context(method)
    lock, event, value, queue = context.Lock(), context.Event(), context.Value("i", 0), context.Queue()
    here, there = context.Pipe()
    memory = SharedMemory(create=True, size=16)
    try:
        result = await run(functions.use_everything, (lock, event, value, there, memory, queue), method=method)
        assert not result.is_failed(), result.failures
        assert event.is_set()
        assert value.value == 1
        assert here.poll(0)
        assert here.recv() == "through the connection"
        assert memory.buf is not None
        assert memory.buf[0] == 42
        assert queue.get(timeout=10) == "through the queue"
    finally:
        memory.close()
        memory.unlink()
        queue.close()
        queue.join_thread()
        here.close()
        there.close()


# The same ladder, the same house


async def test_every_rank_is_its_own_session(method: StartMethod) -> None:
    result = await run(functions.session, (), (), method=method)
    assert all(pid == sid for pid, sid in result.return_values.values())


async def test_the_first_failure_stops_the_others(method: StartMethod) -> None:
    result = await run(functions.act, ("hangs",), ("raises", "cause"), method=method)
    assert result.first_failure is result.failures[1]
    assert result.exitcodes[0] == -signal.SIGTERM


async def test_a_deaf_rank_is_killed(method: StartMethod, tmp_path: Path) -> None:
    async with ranks(functions.ignores_term, (), method=method, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
        await ctx.close(timeout=0.1)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGKILL}


async def test_closing_right_after_the_start(method: StartMethod) -> None:
    async with ranks(functions.sleeps, (), (), method=method) as ctx:
        await ctx.close()
    assert not any(is_alive(pid) for pid in ctx.pids().values())


async def test_no_rank_holds_another_ranks_pipe(method: StartMethod, tmp_path: Path) -> None:
    async with ranks(functions.sleeps, (), method=method, logs_specs=redirected(tmp_path / "other")) as other:
        await line_of(other, "ready")
        result = await run(functions.open_pipes, (), (), method=method, logs_specs=redirected(tmp_path / "logs"))
        ours = {os.readlink(f"/proc/self/fd/{end}") for end in open_ends()}
        (own_0, all_0), (own_1, all_1) = result.return_values.values()
        assert ours
        assert not ours & (all_0 | all_1)
        assert not own_0 & all_1
        assert not own_1 & all_0
        await other.close()


async def test_a_rank_has_none_of_the_applications_signal_handling(method: StartMethod) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        loop.add_signal_handler(number, lambda: None)
    try:
        result = await run(functions.describe_signals, (), method=method)
    finally:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            loop.remove_signal_handler(number)
    seen = result.return_values[0]
    default = str(signal.SIG_DFL)
    assert seen["handlers"] == {
        signal.SIGTERM: default,
        signal.SIGUSR1: default,
        signal.SIGINT: "default_int_handler",
    }
    assert seen["wakeup"] == -1
    assert seen["blocked"] == []


async def test_a_ranks_death_by_sigterm_does_not_reach_the_applications_handler(method: StartMethod) -> None:
    received: list[int] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, received.append, 1)
    try:
        for _ in range(5):
            async with ranks(functions.sleeps, (), (), method=method) as ctx:
                await ctx.close()
            assert ctx.result is not None
            assert set(ctx.result.exitcodes.values()) == {-signal.SIGTERM}
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    assert received == []


async def test_fork_warns_of_threads() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.warns(RuntimeWarning, match="use 'spawn' or 'forkserver'"):
            await run(functions.echo, (1,), method="fork")
    finally:
        done.set()
        thread.join()


# What a rank costs

HEAVY = {"asyncio", "anyio", "aiofiles", "dataclasses", "inspect", "multiprocessing", "subprocess", "json", "logging"}


async def test_the_bootstrap_imports_little() -> None:
    code = "import sys, aelastic.worker.bootstrap, aelastic.errors.handler; print(*sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=env, check=True)
    assert not HEAVY & set(loaded.stdout.split())


NO_IMPORTS = """
import asyncio, os, sys
import aelastic

async def main():
    async with aelastic.start_processes("f", os.getpid, {0: (), 1: ()}, {0: {}, 1: {}}, start_method="fork") as ctx:
        await ctx.wait()
    print("encodings.ascii" in sys.modules)

asyncio.run(main())
"""


async def test_helper_threads_import_no_codec() -> None:
    """A fork in that moment would find the lock of the import taken for ever."""
    done = subprocess.run([sys.executable, "-c", NO_IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
