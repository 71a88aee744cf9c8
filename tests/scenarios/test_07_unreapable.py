"""7. A rank that even SIGKILL does not end: everybody gets an answer in time, and the pid is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aelastic import RankState
from aelastic.process.family import Family
from tests.helpers.apps import reaped
from tests.helpers.ranks import is_alive, line_of, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import KINDS, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aelastic
    from tests.scenarios.kinds import Kind

pytestmark = pytest.mark.asyncio

FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The process groups that no signal of ours reaches, as if they were in an uninterruptible sleep."""
    groups: set[int] = set()
    real = Family.signal
    monkeypatch.setattr(Family, "signal", lambda self, sig: None if self.pgid in groups else real(self, sig))
    return groups


async def reaped_late(*pids: int) -> None:
    """The loop, which still watches what was given up, has reaped it."""
    for pid in pids:
        assert await reaped(pid)
    await asyncio.sleep(0.1)  # Python 3.11 reaps in a thread: its loop hears of it later, and closes the transport


async def end_and_reap(*pids: int) -> None:
    """End what was given up."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await reaped_late(*pids)


async def started(kind: Kind, tmp_path: Path, grace: float = 0.1) -> aelastic.PContext:
    """Two ranks that sleep."""
    specs = redirected(tmp_path)
    options: dict[str, Any] = {"logs_specs": specs, "shutdown_timeout": grace, "containment": "group"}
    ctx = await ranks(kind, vices.ready_and_stays, (), (), **options)
    for rank in range(2):
        await line_of(ctx, "ready", rank)
    return ctx


async def of_each_kind(tmp_path: Path, grace: float = 0.1) -> list[aelastic.PContext]:
    """One started context for each kind of rank: each test takes the time of a grace, so they are stopped together."""
    return [await started(kind, tmp_path, grace) for kind in KINDS]


@pytest.mark.filterwarnings("ignore:start_method='fork'")  # Python 3.11 watches each program in a thread
async def test_what_does_not_even_end_by_sigkill_is_given_up(
    unkillable: set[int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = await of_each_kind(tmp_path, grace=600)
    stuck = [ctx.pids()[1] for ctx in contexts]
    unkillable.update(stuck)
    try:
        with caplog.at_level(logging.ERROR, "aelastic"):
            async with asyncio.timeout(10):
                await asyncio.gather(*[ctx.close(timeout=0.1) for ctx in contexts])
                await asyncio.gather(*[ctx.close() for ctx in contexts])
        for ctx, pid in zip(contexts, stuck, strict=True):
            assert is_alive(pid)
            assert caplog.text.count(f"pid {pid}") == 1
            assert_given_up(ctx, pid)
    finally:
        await end_and_reap(*stuck)


def assert_given_up(ctx: aelastic.PContext, pid: int) -> None:
    """Rank 1, not rank 0."""
    assert ctx.result is not None
    assert ctx.result.abandoned == {1: pid}
    assert ctx.result.exitcodes == {0: -signal.SIGTERM}
    assert ctx.result.failures[1].reason == "did not end even after SIGKILL"
    assert ctx.result.first_failure is None
    assert ctx.snapshot()[1].state is RankState.ABANDONED
    assert Path(ctx.stdouts[1]).read_text() == "ready\n"


@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_a_failure_is_reported_although_a_peer_cannot_be_stopped(unkillable: set[int], tmp_path: Path) -> None:
    contexts = await of_each_kind(tmp_path)
    stuck = [ctx.pids()[1] for ctx in contexts]
    unkillable.update(stuck)
    try:
        for ctx in contexts:
            os.kill(ctx.pids()[0], signal.SIGKILL)
        results = await asyncio.gather(*[ctx.wait(10) for ctx in contexts])
    finally:
        await end_and_reap(*stuck)
    for result, pid in zip(results, stuck, strict=True):
        assert result is not None
        assert result.first_failure is result.failures[0]
        assert result.abandoned == {1: pid}


async def test_a_cancelled_wait_leaves_although_a_rank_cannot_be_stopped(unkillable: set[int], tmp_path: Path) -> None:
    ctx = await started("program", tmp_path)
    unkillable.add(stuck := ctx.pids()[1])
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.wait(), 0.01)
        assert ctx.result is not None
        assert ctx.result.abandoned == {1: stuck}
    finally:
        await end_and_reap(stuck)


async def test_sixty_four_are_given_up_together(unkillable: set[int]) -> None:
    async with asyncio.timeout(20):  # one after another they would take half a minute
        async with shell(*["exec sleep 600"] * 64, shutdown_timeout=0.1, containment="group") as ctx:
            unkillable.update(ctx.pids().values())
    assert ctx.result is not None
    assert ctx.result.abandoned == ctx.pids()
    await end_and_reap(*ctx.pids().values())


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group whose members, once frozen, do not even die."""
    group = FREEZER / f"aelastic-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("needs a writable freezer control group")
    try:
        yield group
    finally:
        (group / "freezer.state").write_text("THAWED")
        with contextlib.suppress(OSError):
            group.rmdir()


@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_frozen_ranks_are_given_up_and_reaped_when_they_thaw(freezer: Path, tmp_path: Path) -> None:
    contexts = await of_each_kind(tmp_path)
    for ctx in contexts:
        (freezer / "cgroup.procs").write_text(str(ctx.pids()[1]))
    (freezer / "freezer.state").write_text("FROZEN")
    async with asyncio.timeout(10):
        await asyncio.gather(*[ctx.close() for ctx in contexts])
    for ctx in contexts:
        assert is_alive(ctx.pids()[1])
        assert_given_up(ctx, ctx.pids()[1])
    (freezer / "freezer.state").write_text("THAWED")
    await reaped_late(*[ctx.pids()[1] for ctx in contexts])
