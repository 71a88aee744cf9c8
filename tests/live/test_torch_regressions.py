"""What torch 2.13 does to its users must not come back. The numbers are those of docs/from-torch.md."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import aelastic
from aelastic.conduct.context import PContext
from aelastic.conduct.run import Run
from tests.helpers.ranks import is_alive, line_of, redirected, shell

pytestmark = pytest.mark.asyncio

SOURCES = Path(inspect.getfile(aelastic)).parent


async def result_of(ctx: aelastic.PContext) -> aelastic.RunProcsResult:
    result = await ctx.wait()
    assert result is not None
    return result


async def test_t06_an_exit_is_an_event() -> None:
    """torch sleeps a second between two looks, however short the timeout."""
    async with shell("exec sleep 600") as ctx:
        began = time.monotonic()
        assert await ctx.wait(0.01) is None
        waited = time.monotonic() - began
    assert waited < 0.9
    assert list(inspect.signature(PContext.wait).parameters) == ["self", "timeout"]


async def test_t07_failures_share_nothing() -> None:
    """In torch the data of one failure turns up in all later ones."""
    async with shell("exit 1", "kill -9 $$", failure_grace=30) as ctx:
        result = await result_of(ctx)
    one, other = result.failures.values()
    assert one.error_file_data is not other.error_file_data
    assert other.error_file_data == {"message": "<NONE>"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.exitcode = 2  # type: ignore[misc]


async def test_t08_the_callers_arguments_are_not_changed() -> None:
    """torch writes the path of the error file into the caller's environments."""
    args, envs = {0: ("-c", "exit 0")}, {0: {"A": "a"}}
    async with aelastic.start_processes("w", "/bin/sh", args, envs) as ctx:
        await ctx.wait()
    assert (args, envs) == ({0: ("-c", "exit 0")}, {0: {"A": "a"}})


async def test_t13_a_rank_has_any_number_of_digits_and_nothing_may_follow() -> None:
    """torch reads one digit per rank, and lets a line end pass."""
    assert aelastic.Std.from_str("10:3,2:1") == {10: aelastic.Std.ALL, 2: aelastic.Std.OUT}
    for text in ("3\n", "0:3,1:0\n", "0:3,", ""):
        with pytest.raises(ValueError, match="neither"):
            aelastic.Std.from_str(text)


async def test_t14_a_string_is_no_tuple_of_arguments() -> None:
    """torch runs ``echo h e l l o``."""
    with pytest.raises(aelastic.InvalidArgumentError, match=r"args\[0\].*\('hello',\)"):
        aelastic.start_processes("w", "echo", {0: "hello"}, {0: {}})


async def test_t16_t27_the_shutdown_is_written_once() -> None:
    """torch has two, which differ, spread over a base class and its children."""
    for kind in (aelastic.SubprocessContext, aelastic.MultiprocessContext):
        own = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
        assert own == {"__init__", "_workload"}


async def test_t17_a_rank_that_does_not_end_does_not_hold_the_loop(tmp_path: Path) -> None:
    """torch joins without a limit."""
    async with shell("trap '' TERM; echo ready; sleep 600 & wait", logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
        assert await ctx.wait(0.05) is None
        await ctx.close(timeout=0.1)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGKILL}


async def test_t18_asking_changes_nothing() -> None:
    """In torch asking for the state closes, joins and logs, and does so again when asked again."""
    async with shell("exit 3") as ctx:
        first = await result_of(ctx)
        assert await ctx.wait() is first
        assert await ctx.wait(0) is first
        assert ctx.result is first
        assert ctx.snapshot() == ctx.snapshot()


async def test_t19_one_record_for_each_rank() -> None:
    """torch keeps parallel dictionaries, and finds out while it runs that they do not match."""
    with pytest.raises(aelastic.InvalidRanksError, match=r"envs.*missing: \[1\]"):
        aelastic.start_processes("w", "true", {0: (), 1: ()}, {0: {}})


async def test_t20_none_means_none() -> None:
    """torch has -1 for ever and "" for the console; they are understood, and need not be written."""
    async with shell("exit 0") as ctx:
        assert await ctx.wait(None) is await ctx.wait(-1)


async def test_t21_no_values_for_tests_in_shipping_code() -> None:
    """torch's run id falls back to that of a unit test."""
    assert not [path for path in SOURCES.rglob("*.py") if "test_run_id" in path.read_text()]


async def test_t22_no_half_built_objects() -> None:
    """torch has assertions that tell the type checker what its constructors do not."""
    for path in SOURCES.rglob("*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)], path


async def test_t23_importing_opens_no_library() -> None:
    """torch opens the C library when it is imported, and fails where it has another name."""
    code = "import sys; from aelastic import start_processes, redirect; print('ctypes' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "False\n"


async def test_t26_leaving_the_block_stops_the_ranks() -> None:
    """torch has no context manager; an exception between start and close leaves the ranks running."""
    with pytest.raises(ZeroDivisionError):
        async with shell("exec sleep 600") as ctx:
            raise ZeroDivisionError
    assert not is_alive(ctx.pids()[0])
    assert isinstance(ctx._run, Run)
