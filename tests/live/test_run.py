"""A run from start to result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import aelastic
from tests.helpers.ranks import redirected, shell

pytestmark = pytest.mark.asyncio


async def test_all_ranks_succeed(tmp_path: Path) -> None:
    async with shell("echo out", "echo err >&2", logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert not result.is_failed()
    assert result.return_values == {0: None, 1: None}
    assert result.exitcodes == {0: 0, 1: 0}
    assert result.first_failure is None
    assert Path(result.stdouts[0]).read_text() == "out\n"
    assert Path(result.stderrs[1]).read_text() == "err\n"
    result.raise_for_failures()


async def test_the_first_failure_ends_the_run() -> None:
    async with shell("exit 7", "sleep 60") as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: 7, 1: -15}
    assert result.first_failure is not None
    assert result.first_failure.local_rank == 0
    assert result.failures[1].collateral
    assert result.return_values == {}
    with pytest.raises(aelastic.ChildFailedError) as caught:
        result.raise_for_failures()
    assert caught.value.get_first_failure()[0] == 0


async def test_sixty_four_ranks_of_true() -> None:
    ranks = range(64)
    async with aelastic.start_processes(
        "t", "true", args=dict.fromkeys(ranks, ()), envs={rank: {} for rank in ranks}
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == dict.fromkeys(ranks, 0)


async def test_the_application_environment_is_updated_by_the_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_APPLICATION", "a")
    monkeypatch.setenv("OVERRIDDEN", "application")
    envs = {0: {"OVERRIDDEN": "rank", "OWN": "r"}}
    script = 'echo "$FROM_APPLICATION $OVERRIDDEN $OWN $PYTHONUNBUFFERED"'
    async with shell(script, envs=envs, logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert Path(result.stdouts[0]).read_text() == "a rank r 1\n"
    assert envs == {0: {"OVERRIDDEN": "rank", "OWN": "r"}}
    assert "OWN" not in os.environ
