"""Ranks that are bound to cpus, on this machine."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic.conduct import binding
from aelastic.decide.affinity import Topology
from tests.helpers import functions
from tests.helpers.ranks import python, redirected

if TYPE_CHECKING:
    from aelastic.conduct.functions import StartMethod

pytestmark = pytest.mark.asyncio

ONE_EACH = aelastic.NumaOptions(aelastic.AffinityMode.EXCLUSIVE)
NODE = aelastic.NumaOptions(aelastic.AffinityMode.NODE)
LENIENT = aelastic.NumaOptions(aelastic.AffinityMode.NODE, should_fall_back_if_binding_fails=True)
RANKS = min(2, len(os.sched_getaffinity(0)))
ENVS: dict[int, dict[str, str]] = {rank: {} for rank in range(RANKS)}


def check(cpus: list[set[int]], before: set[int]) -> None:
    """Every rank has its own share; this process has what it had."""
    assert all(cpus)
    assert len(set.union(*cpus)) == sum(map(len, cpus))
    assert set.union(*cpus) <= before
    assert os.sched_getaffinity(0) == before


async def test_programs_are_bound(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    script = "import os; print(*os.sched_getaffinity(0))"
    async with python(*[script] * RANKS, numa_options=ONE_EACH, logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    check([set(map(int, Path(path).read_text().split())) for path in result.stdouts.values()], before)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
async def test_functions_are_bound(method: StartMethod) -> None:
    before = os.sched_getaffinity(0)
    args: dict[int, tuple[()]] = dict.fromkeys(range(RANKS), ())
    async with aelastic.start_processes(
        "f", functions.cpus, args, ENVS, start_method=method, numa_options=ONE_EACH
    ) as ctx:
        result = await ctx.wait()
    assert result is not None
    check(list(result.return_values.values()), before)


async def test_what_cannot_be_bound_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "read_topology", lambda _: Topology(()))
    with pytest.raises(aelastic.InvalidArgumentError, match="numa_options: rank 0"):
        await python("", numa_options=NODE)


async def test_or_runs_unbound_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(binding, "read_topology", lambda _: Topology(()))
    with caplog.at_level(logging.WARNING, "aelastic"):
        async with python(*[""] * RANKS, numa_options=LENIENT) as ctx:
            result = await ctx.wait()
    assert result is not None
    assert not result.is_failed()
    (warning,) = caplog.messages
    assert "rank 0" in warning
    assert "effective cpus" in warning
