"""2. A rank crashes and leaves a family: it goes at once, although its leader is reaped; so do the peers."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.ranks import is_alive, line_of, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, ended, ranks

if TYPE_CHECKING:
    import aelastic
    from tests.scenarios.kinds import Kind

pytestmark = pytest.mark.asyncio

CRASHES = {"exits": 3, "is killed": signal.SIGKILL, "raises": 0}
EXITCODES = {"exits": 3, "is killed": -signal.SIGKILL, "raises": 1}


def only_the_group(logs: Path) -> dict[str, Any]:
    """Nothing but the process group holds the family together."""
    return {"logs_specs": redirected(logs), "containment": "group"}


async def family_of(ctx: aelastic.PContext, rank: int = 0) -> list[int]:
    """The pids that the rank has said."""
    return [int(word) for word in (await line_of(ctx, "family ", rank)).text.split()[1:]]


@pytest.mark.filterwarnings("ignore:start_method='fork'")  # Python 3.11 watches each program in a thread
@each_kind
async def test_t02_the_family_of_a_crashed_rank_is_gone(kind: Kind, tmp_path: Path) -> None:
    """torch signals a group only while its leader runs: what a crashed rank had started goes on."""
    await asyncio.gather(*[crashed(kind, crash, tmp_path / crash) for crash in CRASHES])


async def crashed(kind: Kind, crash: str, logs: Path) -> None:
    """One rank crashes, its peer stays."""
    args = (crash, CRASHES[crash]), ("stays",)
    async with ranks(kind, vices.starts_family, *args, **only_the_group(logs)) as ctx:
        family = await family_of(ctx)
        result = await ctx.wait()
        assert await ended(*family)
    assert result is not None
    assert result.exitcodes == {0: EXITCODES[crash], 1: -signal.SIGTERM}
    assert result.first_failure is result.failures[0]
    assert result.failures[1].collateral


@each_kind
async def test_the_family_of_a_rank_that_ends_well_goes_while_the_others_run(kind: Kind, tmp_path: Path) -> None:
    args = ("exits", 0), ("stays",)
    async with ranks(kind, vices.starts_family, *args, **only_the_group(tmp_path)) as ctx:
        assert await ended(*await family_of(ctx, 0))
        assert all(map(is_alive, [ctx.pids()[1], *await family_of(ctx, 1)]))
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: 0, 1: -signal.SIGTERM}


@each_kind
async def test_the_families_of_the_others_go_when_one_rank_fails(kind: Kind, tmp_path: Path) -> None:
    args = ("stays",), ("stays",), ("stays",)
    async with ranks(kind, vices.starts_family, *args, **only_the_group(tmp_path)) as ctx:
        families = [pid for rank in range(3) for pid in await family_of(ctx, rank)]
        ctx.send_signal(signal.SIGKILL, rank=0)
        result = await ctx.wait()
        assert await ended(*families)
    assert result is not None
    assert result.first_failure is result.failures[0]


@each_kind
async def test_the_family_goes_when_the_run_is_closed(kind: Kind, tmp_path: Path) -> None:
    async with ranks(kind, vices.starts_family, ("stays",), **only_the_group(tmp_path)) as ctx:
        family = await family_of(ctx)
    assert await ended(*family)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGTERM}


async def test_a_deaf_family_is_killed_with_its_deaf_leader(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo family $!; wait"
    async with shell(script, **only_the_group(tmp_path), shutdown_timeout=0.05) as ctx:
        family = await family_of(ctx)
    assert await ended(*family)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGKILL}


async def test_sixty_four_families_go(tmp_path: Path) -> None:
    scripts = ["sleep 600 & echo family $!; exit 3", *["sleep 600 & echo family $!; wait"] * 63]
    async with shell(*scripts, **only_the_group(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.first_failure is result.failures[0]
    families = [Path(path).read_text().split() for path in result.stdouts.values()]
    assert await ended(*[int(words[1]) for words in families if words])  # the last may not have got so far
