"""The family goes with its leader, and nobody else does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.apps import has_ended
from tests.helpers.ranks import child, is_alive, line_of, redirected, shell

if TYPE_CHECKING:
    import aelastic

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"
UNCONTAINED = {"containment": "group"}


async def grandchild_of(ctx: aelastic.PContext, rank: int = 0) -> int:
    """The pid that ``leaves_family`` said."""
    return int((await line_of(ctx, "grandchild", rank)).text.split()[1])


@pytest.mark.parametrize("code", [0, 3], ids=["success", "failure"])
async def test_the_family_goes_when_its_leader_exits(code: int, tmp_path: Path) -> None:
    async with shell(child("leaves_family", str(code)), logs_specs=redirected(tmp_path)) as ctx:
        grandchild = await grandchild_of(ctx)
        result = await ctx.wait()
        assert has_ended(grandchild)
    assert result is not None
    assert result.exitcodes == {0: code}


async def test_the_family_of_a_rank_that_ends_goes_while_the_others_run(tmp_path: Path) -> None:
    async with shell(child("leaves_family", "0"), SLEEPING, logs_specs=redirected(tmp_path)) as ctx:
        assert await asyncio.to_thread(has_ended, await grandchild_of(ctx))
        assert is_alive(ctx.pids()[1])


async def test_the_family_goes_when_its_leader_is_killed(tmp_path: Path) -> None:
    async with shell(child("leaves_family", "stay"), logs_specs=redirected(tmp_path)) as ctx:
        grandchild = await grandchild_of(ctx)
        os.kill(ctx.pids()[0], signal.SIGKILL)
        await ctx.wait()
        assert has_ended(grandchild)


async def test_the_family_goes_when_the_run_is_closed(tmp_path: Path) -> None:
    async with shell(child("leaves_family", "stay"), logs_specs=redirected(tmp_path)) as ctx:
        grandchild = await grandchild_of(ctx)
    assert has_ended(grandchild)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -15}


async def test_the_families_of_the_others_go_when_one_rank_fails(tmp_path: Path) -> None:
    scripts = [SLEEPING, child("leaves_family", "stay"), child("leaves_family", "stay")]
    async with shell(*scripts, logs_specs=redirected(tmp_path)) as ctx:
        grandchildren = [await grandchild_of(ctx, rank) for rank in (1, 2)]
        ctx.send_signal(signal.SIGKILL, rank=0)
        await ctx.wait()
        assert all(map(has_ended, grandchildren))


async def test_a_deaf_family_is_killed_with_its_deaf_leader(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo grandchild $!; wait"
    async with shell(script, logs_specs=redirected(tmp_path), shutdown_timeout=0.05) as ctx:
        grandchild = await grandchild_of(ctx)
    assert has_ended(grandchild)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -9}


async def test_a_signal_reaches_the_family(tmp_path: Path) -> None:
    script = f"trap '' USR2; ({child('counts_signals')}) & wait"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
        ctx.send_signal(signal.SIGUSR2)
        await line_of(ctx, "got SIGUSR2")


async def test_the_death_signal_reaches_the_family(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    script = f"trap '' TERM; ({child('exits_slowly', '0.05', str(file))}) & wait; exit 5"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
    assert file.read_text() == "complete"
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: 5}


async def test_processes_of_the_application_are_left_alone() -> None:
    ours = [subprocess.Popen(["/bin/sleep", "600"], start_new_session=new) for new in (False, True)]
    try:
        async with shell("exit 3", SLEEPING) as ctx:
            await ctx.wait()
        async with shell(SLEEPING, shutdown_timeout=0):
            pass
        assert [one.poll() for one in ours] == [None, None]
    finally:
        for one in ours:
            one.kill()
            one.wait()


async def test_who_holds_the_pipe_does_not_hold_up_the_result(tmp_path: Path) -> None:
    async with shell(
        child("holds_the_pipe"), **UNCONTAINED, logs_specs=redirected(tmp_path), drain_timeout=0.05
    ) as ctx:
        escaped = int((await line_of(ctx, "escaped")).text.split()[1])
        try:
            result = await ctx.wait()
        finally:
            _kill(escaped)
    assert result is not None
    assert result.exitcodes == {0: 0}
    assert Path(result.stdouts[0]).read_text() == f"escaped {escaped}\n"


async def test_an_endless_drain_ends_with_who_holds_the_pipe(tmp_path: Path) -> None:
    async with shell(child("holds_the_pipe"), **UNCONTAINED, logs_specs=redirected(tmp_path), drain_timeout=600) as ctx:
        escaped = int((await line_of(ctx, "escaped")).text.split()[1])
        _kill(escaped)
        result = await ctx.wait()
    assert result is not None
    assert not result.is_failed()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid)


async def test_a_rank_that_closes_its_output_goes_on(tmp_path: Path) -> None:
    script = "echo words; exec >&- 2>&-; sleep 0.05; exit 3"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: 3}
    assert Path(result.stdouts[0]).read_text() == "words\n"
