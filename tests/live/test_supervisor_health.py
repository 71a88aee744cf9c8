"""Ranks of a supervisor say who they are, when they are ready, and how it goes."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers import functions
from tests.helpers.ranks import redirected
from tests.helpers.supervisors import AT_ONCE, STAYS, next_event, one_for_one, said

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

pytestmark = pytest.mark.asyncio

SAYS_READY = """
import os, time
from aelastic import rank
rank.status("start " + os.environ["TORCHELASTIC_RESTART_COUNT"])
rank.ready()
while True: time.sleep(0.05)
"""


@pytest.mark.parametrize("strategy", ["one_for_all", "one_for_one"])
async def test_a_rank_knows_which_of_how_many_it_is(strategy: Strategy) -> None:
    async with aelastic.Supervisor(
        "w",
        functions.tells,
        dict.fromkeys(range(3), ()),
        {rank: {"RANK": str(10 + rank), "WORLD_SIZE": "20"} for rank in range(3)},
        strategy=strategy,
        start_method="forkserver",
        readiness=aelastic.Notify(),
    ) as supervisor:
        result = await supervisor.wait()
    assert result.return_values == {rank: (10 + rank, 20, rank, 3, None) for rank in range(3)}


async def test_only_the_ranks_that_are_to_say_something_are_heard(tmp_path: Path) -> None:
    async with aelastic.Supervisor(
        "w",
        sys.executable,
        {0: ("-c", SAYS_READY), 1: ("-c", "import time\nwhile True: time.sleep(0.05)"), 2: ("-c", SAYS_READY)},
        {rank: {} for rank in range(3)},
        redirected(tmp_path),
        strategy="one_for_one",
        restart=AT_ONCE,
        readiness={2: aelastic.Notify()},
    ) as supervisor:
        events = supervisor.events()
        ready = await next_event(events, aelastic.RankReady)
        assert (ready.rank, ready.attempt) == (2, 0)
        assert [one.status for one in supervisor.snapshot().values()] == ["", "", "start 0"]
        assert all(one.ready for one in supervisor.snapshot().values())
        await supervisor.restart(2)
        ready = await next_event(events, aelastic.RankReady)
        assert (ready.rank, ready.attempt) == (2, 1)
        assert supervisor.snapshot()[2].status == "start 1"


async def test_a_line_of_each_rank_makes_it_ready(tmp_path: Path) -> None:
    probe = aelastic.LogProbe("ready [01]$")
    async with one_for_one(STAYS, STAYS, logs_specs=redirected(tmp_path), readiness=probe) as supervisor:
        events = supervisor.events()
        await next_event(events, aelastic.RankReady, attempt=0)
        await supervisor.restart(1)
        await next_event(events, aelastic.RankReady, rank=1, attempt=1)


@pytest.mark.parametrize(("private", "mode"), [(True, 0o600), (False, 0o644)])
@pytest.mark.usefixtures("usual_umask")
async def test_logs_of_every_attempt_are_as_private_as_asked_for(private: bool, mode: int, tmp_path: Path) -> None:
    specs = aelastic.DefaultLogsSpecs(str(tmp_path / "logs"), redirects=aelastic.Std.ALL, private=private)
    async with one_for_one(STAYS, logs_specs=specs) as supervisor:
        await supervisor.restart(0)
        await said(supervisor, "ready 1")
    files = list((tmp_path / "logs").rglob("*.log"))
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
