"""The family goes with its leader, and nobody else does."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.helpers.ranks import child, line_of, redirected, shell

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"


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


async def test_a_rank_that_closes_its_output_goes_on(tmp_path: Path) -> None:
    script = "echo words; exec >&- 2>&-; sleep 0.05; exit 3"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: 3}
    assert Path(result.stdouts[0]).read_text() == "words\n"
