"""Contexts that nobody closed: dropped, or open when their loop or the interpreter ends."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import weakref
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers.apps import LOOPS, Application, new_loop
from tests.helpers.ranks import child, is_alive, shell

if TYPE_CHECKING:
    from pathlib import Path

asynchronous = pytest.mark.asyncio
each_loop = pytest.mark.parametrize("loop", LOOPS)

SLEEPING = "exec sleep 600"
READY = "echo ready; exec sleep 600"
DEAF = child("ignores_term")


# Dropped


def drop(contexts: list[aelastic.SubprocessContext]) -> None:
    """Lose them."""
    contexts.clear()
    gc.collect()


async def others_done() -> None:
    """Wait for every other task of this loop."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@asynchronous
async def test_a_dropped_context_warns_and_stops_its_ranks() -> None:
    contexts = [await shell(SLEEPING, SLEEPING)]
    pids = contexts[0].pids()
    with pytest.warns(ResourceWarning, match="'w' was dropped without being closed"):
        drop(contexts)
    await others_done()
    assert not [pid for pid in pids.values() if is_alive(pid)]


@each_loop
def test_a_context_dropped_between_two_runs_of_its_loop_stops_its_ranks(loop: str, tmp_path: Path) -> None:
    home = new_loop(loop)
    contexts = [home.run_until_complete(shell(SLEEPING, DEAF, shutdown_timeout=0.1).__aenter__())]
    pids = contexts[0].pids()
    with pytest.warns(ResourceWarning, match="dropped"):
        drop(contexts)
    assert not [pid for pid in pids.values() if is_alive(pid)]
    home.run_until_complete(others_done())
    home.close()


@each_loop
def test_a_dropped_context_stops_its_ranks_although_warnings_are_errors(loop: str) -> None:
    with Application("app_drops_its_context", loop, options=("-W", "error::ResourceWarning")) as app:
        ended = app.ended()
        assert (ended.code, ended.out) == (0, "gone\n")
        assert app.survivors() == []


@asynchronous
async def test_a_context_that_was_never_started_can_be_dropped() -> None:
    aelastic.SubprocessContext("w", "/bin/sleep", {0: ("600",)}, {0: {}})
    shell(SLEEPING)
    gc.collect()


@asynchronous
@pytest.mark.parametrize("script", ["exit 0", "exit 3"])
async def test_a_run_that_is_over_is_forgotten(script: str) -> None:
    async with shell(script) as ctx:
        await ctx.wait()
    forgotten = weakref.ref(ctx)
    del ctx
    gc.collect()
    assert forgotten() is None


@asynchronous
async def test_a_start_that_failed_is_forgotten() -> None:
    ctx = aelastic.SubprocessContext("w", "/no/such/program", {0: ()}, {0: {}})
    with pytest.raises(FileNotFoundError):
        await ctx.start()
    forgotten = weakref.ref(ctx)
    del ctx
    gc.collect()
    assert forgotten() is None


@asynchronous
async def test_a_temporary_log_directory_without_logs_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with shell("exit 0", logs_specs=aelastic.DefaultLogsSpecs()) as ctx:
        assert os.path.isdir(os.path.dirname(ctx.error_files[0]))
    with pytest.raises(FileNotFoundError):
        await aelastic.start_processes("w", "/no/such/program", {0: ()}, {0: {}})
    assert list(tmp_path.iterdir()) == []


# Open at the end


@each_loop
def test_the_end_of_the_interpreter_stops_the_ranks_of_a_closed_loop(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    scripts = [READY, child("exits_slowly", "0.1", str(file))]
    with Application("app_closes_its_loop", loop, 30, tmp_path, *scripts) as app:
        assert app.ended().code == 0
        assert app.survivors() == []
        assert file.read_text() == "complete"


@each_loop
def test_the_end_of_the_interpreter_kills_the_deaf_ranks_of_a_closed_loop(loop: str, tmp_path: Path) -> None:
    with Application("app_closes_its_loop", loop, 0.1, tmp_path, DEAF, READY) as app:
        assert app.ended().code == 0
        assert app.survivors() == []


@each_loop
def test_an_endless_grace_does_not_disturb_the_end_of_the_interpreter(loop: str, tmp_path: Path) -> None:
    with Application("app_closes_its_loop", loop, "inf", tmp_path, READY) as app:
        ended = app.ended()
        assert ended.code == 0
        assert "OverflowError" not in ended.err
        assert app.survivors() == []


@each_loop
def test_ctrl_c_at_the_end_of_the_interpreter_kills_at_once(loop: str, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    says_when_asked = f"trap 'echo > {asked}' TERM; echo ready; while :; do sleep 600 & wait; done"
    with Application("app_closes_its_loop", loop, 600, tmp_path, DEAF, says_when_asked) as app:
        while not asked.exists():
            assert app.process.poll() is None
        app.interrupt()
        app.ended()
        assert app.survivors() == []


@each_loop
def test_the_end_of_the_interpreter_stops_the_ranks_of_a_daemon_thread(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    scripts = [READY, child("exits_slowly", "0.1", str(file))]
    with Application("app_has_its_loop_in_a_daemon_thread", loop, 30, tmp_path / "logs", *scripts) as app:
        assert "was broken off" not in app.ended().err  # no thread is started any more, and it does without
        assert app.survivors() == []
        assert file.read_text() == "complete"


@each_loop
def test_the_end_of_the_interpreter_kills_the_deaf_ranks_of_a_daemon_thread(loop: str, tmp_path: Path) -> None:
    with Application("app_has_its_loop_in_a_daemon_thread", loop, 0.1, tmp_path, DEAF, READY) as app:
        app.ended()
        assert app.survivors() == []
