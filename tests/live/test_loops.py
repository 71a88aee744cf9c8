"""Loops: how they begin and end, in which thread they run, and what of the application's must stay as it is."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from pathlib import Path

import pytest

import aelastic
from tests.helpers.apps import LOOPS, Application, new_loop, run_on
from tests.helpers.ranks import child, is_alive, shell

each_loop = pytest.mark.parametrize("loop", LOOPS)

SLEEPING = "exec sleep 600"
READY = "echo ready; exec sleep 600"
DEAF = child("ignores_term")
LAST_WORDS = (
    "trap 'for i in 1 2 3 4 5 6 7 8 9; do seq 9999; done; echo last; exit 0' TERM; echo ready; sleep 600 & wait"
)


def saves(path: Path, sig: int = signal.SIGTERM) -> str:
    """A rank that needs a moment to write its checkpoint."""
    return child("exits_slowly", "0.2", str(path), str(int(sig)))


# The end of a loop with ranks running


@each_loop
def test_asyncio_run_stops_the_ranks_and_completes_their_logs(loop: str, tmp_path: Path) -> None:
    with Application("app_leaves_context_open", loop, 30, tmp_path, LAST_WORDS, READY, options=("-X", "dev")) as app:
        ended = app.ended()
        assert (ended.code, ended.noise) == (0, [])
        assert "result {0: 0, 1: -15}" in ended.out
        log = Path(ended.out.splitlines()[0]).read_text().splitlines()
        assert log == ["ready", *[str(number) for number in range(1, 10000)] * 9, "last"]
        assert app.survivors() == []


@each_loop
def test_asyncio_run_kills_deaf_ranks_after_their_grace(loop: str, tmp_path: Path) -> None:
    with Application("app_leaves_context_open", loop, 0.1, tmp_path, DEAF) as app:
        ended = app.ended()
        assert (ended.code, ended.err) == (0, "")
        assert "result {0: -9}" in ended.out
        assert app.survivors() == []


@pytest.mark.parametrize("loop", [*LOOPS, "bare"])
def test_ctrl_c_gives_the_grace(loop: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    with Application("app_waits", loop, 30, tmp_path / "logs", saves(file), READY) as app:
        app.line("ready")
        app.interrupt()
        ended = app.ended()
        assert ended.code == -signal.SIGINT
        assert [line for line in ended.noise if not line.startswith("Traceback")] == []
        assert file.read_text() == "complete"
        assert app.survivors() == []
        if loop != "bare":
            assert "result {0: 0, 1: -15}" in ended.out


@each_loop
def test_ctrl_c_twice_kills_at_once(loop: str, tmp_path: Path) -> None:
    asked = tmp_path / "asked"  # not said through the log: the second Ctrl-C is to find an idle loop
    says_when_asked = f"trap 'echo > {asked}' TERM; echo ready; while :; do sleep 600 & wait; done"
    with Application("app_waits", loop, 600, tmp_path, DEAF, says_when_asked) as app:
        app.line("ready")
        app.interrupt()
        while not asked.exists():
            assert app.process.poll() is None
        app.interrupt()
        ended = app.ended()
        assert ended.code == -signal.SIGINT
        assert "result" in ended.out  # none, when it was our own task that the second one hit
        assert [line for line in ended.noise if not line.startswith("Traceback")] == []
        assert app.survivors() == []


# Threads


async def some_runs(count: int = 3) -> None:
    """Runs that succeed, fail, and are closed."""
    for _ in range(count):
        async with shell("exit 0", "exit 0") as ctx:
            result = await ctx.wait()
            assert result is not None
            assert result.exitcodes == {0: 0, 1: 0}
        async with shell(SLEEPING, "exit 3") as ctx:
            result = await ctx.wait()
            assert result is not None
            assert result.exitcodes == {0: -15, 1: 3}
        async with shell(SLEEPING) as ctx:
            pid = ctx.pids()[0]
        assert not is_alive(pid)


@pytest.mark.parametrize("loops", [("asyncio", "asyncio"), ("uvloop", "uvloop"), ("asyncio", "uvloop")])
def test_two_loops_in_two_threads_at_once(loops: tuple[str, str]) -> None:
    other = threading.Thread(target=lambda: run_on(loops[1], some_runs()))
    other.start()
    run_on(loops[0], some_runs())
    other.join()


@each_loop
def test_a_context_is_refused_in_another_loop(loop: str) -> None:
    home = new_loop(loop)
    ctx = home.run_until_complete(shell(SLEEPING).__aenter__())
    for use in (ctx.wait, ctx.close):
        with pytest.raises(aelastic.NotRunningError, match="another loop"):
            asyncio.run(use())
    home.run_until_complete(ctx.close())
    home.close()


@each_loop
def test_a_loop_that_runs_with_interruptions(loop: str) -> None:
    home = new_loop(loop)
    ctx = home.run_until_complete(shell(READY, SLEEPING).__aenter__())
    assert all(map(is_alive, ctx.pids().values()))
    assert home.run_until_complete(ctx.wait(0)) is None
    ctx.send_signal(signal.SIGKILL, rank=1)
    result = home.run_until_complete(ctx.wait())
    assert result is not None
    assert result.exitcodes == {0: -15, 1: -9}
    home.run_until_complete(ctx.close())
    home.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
@pytest.mark.parametrize(
    "loop",
    [
        "asyncio",
        pytest.param(
            "uvloop",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13),
                reason="uvloop 0.23 hands eager_start to a factory that knows no such thing",
            ),
        ),
    ],
)
def test_a_loop_with_eager_tasks(loop: str) -> None:
    async def main() -> None:
        factory = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
        asyncio.get_running_loop().set_task_factory(factory)
        await some_runs()
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(some_runs(1))

    run_on(loop, main())


@each_loop
def test_a_loop_in_debug_mode(loop: str) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        await some_runs()

    run_on(loop, main())


# What is the application's


@pytest.mark.parametrize("how", ["quietly", "exit handlers", "drop", "close"])
@each_loop
def test_a_fork_of_the_application_has_no_power_over_the_ranks(loop: str, how: str) -> None:
    with Application("app_forks", loop, how) as app:
        ended = app.ended()
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == "alive [True, True]\nresult {0: -15, 1: -15}\n"
        assert app.survivors() == []


@each_loop
def test_an_application_that_ignores_its_children_gets_an_end_without_exit_codes(loop: str) -> None:
    with Application("app_ignores_its_children", loop) as app:
        ended = app.ended()
        assert ended.code == 0
        assert ended.out == "exit codes {0: 255, 1: 255}\nclosed True\n"
        assert ended.err
        assert ended.noise == []
        assert app.survivors() == []
