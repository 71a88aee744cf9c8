"""15. The grace is the same on the way to a restart as on every other: a rank saves its work, a deaf one does not
take its time from it."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers.ranks import child, redirected
from tests.helpers.supervisors import next_event, said, supervised

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

pytestmark = [pytest.mark.asyncio, pytest.mark.any_loop, pytest.mark.slow]

GRACE = 1.0
NEEDED = "0.3"
FAILING, SAVING, DEAF = 0, 1, 2
DELAY = 5.0  # of a signal, on a machine that is busy
EARLY = 0.1  # by which the log may have heard of the first one too late


def ranks(tmp_path: Path, strategy: Strategy) -> aelastic.Supervisor:
    """A rank that fails when it is told to, one that saves its work, and one that is deaf."""
    return supervised(
        f"echo ready; while [ ! -e {tmp_path}/fail ]; do sleep 0.01; done; rm {tmp_path}/fail; exit 3",
        child("exits_slowly", NEEDED, str(tmp_path / "checkpoint")),
        child("ignores_term"),
        strategy=strategy,
        shutdown_timeout=GRACE,
        logs_specs=redirected(tmp_path / "logs"),
    )


async def asked_for(supervisor: aelastic.Supervisor, tmp_path: Path) -> None:
    """Somebody asks for a restart of each of them."""
    await supervisor.restart()


async def because_a_peer_failed(supervisor: aelastic.Supervisor, tmp_path: Path) -> None:
    """They restart with the first of them."""
    events = supervisor.events()
    (tmp_path / "fail").touch()
    await next_event(events, aelastic.RankStarted, rank=DEAF, attempt=1)


async def closed(supervisor: aelastic.Supervisor, tmp_path: Path) -> None:
    """For comparison: the end."""
    await supervisor.close()


def times(caplog: pytest.LogCaptureFixture, sig: int, rank: int) -> list[float]:
    """When ``rank`` got the signal, by our own clock: a busy machine lets a rank feel it later."""
    return [record.created for record in caplog.records if record.getMessage() == f"signal {int(sig)} to rank {rank}"]


@pytest.mark.parametrize(
    ("strategy", "way"),
    [
        ("one_for_all", asked_for),
        ("one_for_all", because_a_peer_failed),
        ("one_for_one", asked_for),
        ("rest_for_one", because_a_peer_failed),
        ("rest_for_one", closed),
    ],
)
async def test_the_grace_is_the_same(
    strategy: Strategy,
    way: Callable[[aelastic.Supervisor, Path], Awaitable[None]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ranks(tmp_path, strategy) as supervisor:
        for rank in (FAILING, SAVING, DEAF):
            await said(supervisor, "ready", rank)
        with caplog.at_level(logging.DEBUG, "aelastic"):
            await way(supervisor, tmp_path)
        assert (tmp_path / "checkpoint").read_text() == "complete"
        assert times(caplog, signal.SIGKILL, SAVING) == []
        asked, killed = times(caplog, signal.SIGTERM, DEAF)[0], times(caplog, signal.SIGKILL, DEAF)[0]
        assert GRACE - EARLY < killed - asked < GRACE + DELAY
        await supervisor.close(signal.SIGKILL)


async def test_a_restart_begins_when_the_grace_of_all_is_over(tmp_path: Path) -> None:
    """No rank of the next attempt is there before the last one of this is gone."""
    supervisor = ranks(tmp_path, "one_for_all")
    events = supervisor.events()
    async with supervisor:
        for rank in (FAILING, SAVING, DEAF):
            await said(supervisor, "ready", rank)
        await because_a_peer_failed(supervisor, tmp_path)
        await supervisor.close(signal.SIGKILL)
    told = [event async for event in events if isinstance(event, aelastic.RankStarted | aelastic.RankExited)]
    assert [(type(event), event.attempt) for event in told][:7] == [
        *[(aelastic.RankStarted, 0)] * 3,
        *[(aelastic.RankExited, 0)] * 3,
        (aelastic.RankStarted, 1),
    ]
    exits = {event.rank: event.exitcode for event in told[3:6] if isinstance(event, aelastic.RankExited)}
    assert exits == {FAILING: 3, SAVING: 0, DEAF: -9}
