"""What can be seen of a run and of a supervisor while it goes on: logs, attempts, and whether it is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers.ranks import line_of, redirected, shell
from tests.helpers.supervisors import LATER, STAYS, next_event, one_for_one, said, supervised

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.asyncio


def contents(paths: Mapping[int, str]) -> dict[int, str]:
    return {rank: Path(path).read_text() for rank, path in paths.items()}


async def test_bytes_of_a_run(tmp_path: Path) -> None:
    ctx = aelastic.SubprocessContext("w", "true", {0: ()}, {0: {}})
    assert (ctx.log_bytes, ctx.lost_log_bytes, ctx.done) == ({}, {}, False)
    async with shell("echo 123; exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "123")
        assert ctx.log_bytes == {ctx.stdouts[0]: 4, ctx.stderrs[0]: 0}
        assert (ctx.lost_log_bytes, ctx.done) == ({}, False)
        await ctx.close()
        assert ctx.done
        assert ctx.log_bytes[ctx.stdouts[0]] == 4


async def test_a_start_that_fails_is_done() -> None:
    supervisor = supervised("true")
    assert not supervisor.done
    missing = aelastic.Supervisor("w", "/does/not/exist", {0: ()}, {0: {}})
    with pytest.raises(FileNotFoundError):
        await missing.start()
    assert missing.done
    assert missing.result is None


async def test_a_supervisor_before_and_after(tmp_path: Path) -> None:
    supervisor = one_for_one("echo out; echo err >&2; exit 3", STAYS, restart=LATER, logs_specs=redirected(tmp_path))
    assert (supervisor.attempts, supervisor.restarts, supervisor.gave_up) == ((), 0, "")
    assert (supervisor.stdouts, supervisor.stderrs, supervisor.log_bytes) == ({}, {}, {})
    async with supervisor:
        await next_event(supervisor.events(), aelastic.RankRestarting)
        await said(supervisor, "ready", 1)
        (attempt,) = supervisor.attempts
        assert (attempt.ranks, attempt.exitcodes) == ((0,), {0: 3})
        assert contents(supervisor.stdouts) == {0: "out\n", 1: "ready 0\n"}
        assert contents(supervisor.stderrs) == {0: "err\n", 1: ""}
        assert supervisor.log_bytes == {supervisor.stdouts[1]: 8, supervisor.stderrs[1]: 0}
        await supervisor.restart(1)
        await said(supervisor, "ready 1", 1)
        assert contents(supervisor.stdouts)[1] == "ready 1\n"
        assert (supervisor.restarts, len(supervisor.attempts), supervisor.done) == (1, 2, False)
    assert supervisor.done
    assert supervisor.result is not None
    assert supervisor.attempts == supervisor.result.attempts


async def test_why_it_gave_up_is_known_at_once() -> None:
    async with supervised("exit 3", restart=aelastic.RestartPolicy(max_restarts=0)) as supervisor:
        result = await supervisor.wait()
        assert supervisor.gave_up == result.gave_up != ""
