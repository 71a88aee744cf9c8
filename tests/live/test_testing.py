"""What the pytest plugin is made of, on each loop."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic.testing import Ranks, Services, freeze, kill, line_of, resume
from aelastic.testing.report import describe
from tests.helpers.ranks import is_alive, redirected, shell, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = "i=0; while :; do echo step $i; i=$((i+1)); sleep 0.01; done"


@pytest.fixture
def tended(tmp_path: Path) -> Iterator[Ranks]:
    """As the plugin's ``ranks``, which need not be installed here."""
    made = Ranks(str(tmp_path / "ranks"))
    yield made
    assert made.close() == []


def ranks_of(*scripts: str) -> dict[int, tuple[str, str]]:
    return {rank: ("-c", script) for rank, script in enumerate(scripts)}


@pytest.mark.asyncio
async def test_ranks_are_started_ready_and_stopped(tended: Ranks) -> None:
    ctx = await tended.start("w", "/bin/sh", ranks_of(STEPS, STEPS), readiness=aelastic.LogProbe("step 3"))
    assert all(seen.ready for seen in ctx.snapshot().values())
    assert (await tended.line(ctx, re.compile(r"step [4-9]$"), rank=1)).rank == 1


@pytest.mark.asyncio
async def test_faults(tended: Ranks) -> None:
    ctx = await tended.start("w", "/bin/sh", ranks_of(STEPS, STEPS), failure_grace=60)
    await freeze(ctx, 0, after="step 3")
    assert state_of(ctx.pids()[0]) == "T"
    await kill(ctx, 1, after="step 9")
    assert ctx.snapshot()[1].exitcode == -signal.SIGKILL
    await resume(ctx, 0)
    await line_of(ctx, "step 30", 0)


@pytest.mark.asyncio
async def test_a_frozen_rank_is_stopped_at_the_end(tended: Ranks) -> None:
    ctx = await tended.start("w", "/bin/sh", ranks_of(STEPS), shutdown_timeout=60)
    await tended.freeze(ctx, 0)


@pytest.mark.asyncio
@pytest.mark.any_loop
@pytest.mark.slow
async def test_a_rank_that_starts_programs_all_the_time_can_be_frozen(tended: Ranks) -> None:
    """Stopped between the vfork and the exec of its child, it would wait for that, and never stand still."""
    ctx = await tended.start("w", "/bin/sh", ranks_of("while :; do /bin/true; done"))
    for _ in range(40):
        await tended.freeze(ctx, 0)
        assert state_of(ctx.pids()[0]) == "T"
        await tended.resume(ctx, 0)
        await asyncio.sleep(0.002)


@pytest.mark.asyncio
async def test_a_restarted_rank_is_another_one(tended: Ranks) -> None:
    policy = aelastic.RestartPolicy(max_restarts=5, backoff=0)
    sup = await tended.supervise("w", "/bin/sh", ranks_of(STEPS), strategy="one_for_one", restart=policy)
    for _ in range(2):
        await tended.kill(sup, 0, after="step 2")
        async for event in sup.events():
            if isinstance(event, aelastic.RankStarted) and is_alive(event.pid):
                break


@pytest.mark.asyncio
async def test_a_fault_for_who_does_not_run_is_an_error(tmp_path: Path) -> None:
    async with shell("echo done", logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
        with pytest.raises(AssertionError, match="'w': rank 0 does not run; it is exited"):
            await kill(ctx, 0, after="done")
        with pytest.raises(AssertionError, match="'w' ended without a line with 'nothing'"):
            await freeze(ctx, 0, after="nothing")


@pytest.mark.asyncio
async def test_a_report_without_captured_output(tended: Ranks) -> None:
    specs = aelastic.DefaultLogsSpecs()
    ctx = await tended.start("w", "/bin/sh", ranks_of("exec sleep 600"), logs_specs=specs)
    assert "no stream is captured" in describe(ctx)


def test_a_loop_in_another_thread(tmp_path: Path) -> None:
    tended, loop = Ranks(str(tmp_path)), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ctx = asyncio.run_coroutine_threadsafe(tended.start("w", "/bin/sh", ranks_of(STEPS)), loop).result(30)
    assert "w, rank 0 (pid" in tended.report()
    assert tended.close() == []
    assert ctx.result is not None
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_loop_that_is_closed(tmp_path: Path) -> None:
    tended = Ranks(str(tmp_path))
    script, probe = ranks_of("echo word; exec sleep 600"), aelastic.LogProbe("word")
    ctx = asyncio.run(tended.start("w", "/bin/sh", script, readiness=probe))
    assert ctx.result is not None
    assert "stdout: word" in tended.report()
    assert tended.close() == []


def test_services_without_a_loop(tmp_path: Path) -> None:
    with Services(str(tmp_path)) as services:
        port = services.port()
        web = {0: ("-m", "http.server", str(port), "--bind", "127.0.0.1")}
        service = services.start("web", sys.executable, web, readiness=aelastic.TcpProbe(port))
        assert service.snapshot()[0].ready
        with pytest.raises(aelastic.NotReadyError, match="rank 0 exited with code 3"):
            services.start("fails", "/bin/sh", ranks_of("exit 3"), readiness=aelastic.TcpProbe(port))
        assert "fails, rank 0" in services.report()
    assert service.result is not None
    assert service.result.exitcodes == {0: -signal.SIGTERM}
