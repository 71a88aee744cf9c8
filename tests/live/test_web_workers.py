"""Web workers on one listening socket: killed and replaced under steady requests, whatever that costs is counted."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers.http_load import Load, Request
from tests.helpers.ranks import CHILDREN, redirected
from tests.helpers.sockets import listening, port_of
from tests.helpers.supervisors import AT_ONCE, next_event

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

WORKERS = 4
WORKER = (str(CHILDREN / "asgi_app.py"), "auto", "auto", "1")


def web_workers(count: int, shared: socket.socket, tmp_path: Path) -> aelastic.Supervisor:
    """Real ones."""
    return aelastic.Supervisor(
        "web",
        sys.executable,
        dict.fromkeys(range(count), WORKER),
        {rank: {} for rank in range(count)},
        redirected(tmp_path),
        strategy="one_for_one",
        restart=AT_ONCE,
        readiness=aelastic.Notify(),
        sockets={"http": shared},
    )


def begun(tmp_path: Path) -> set[str]:
    """The requests that an application has seen."""
    lines = [line for path in tmp_path.rglob("stdout.log") for line in path.read_text().splitlines()]
    return {line.removeprefix("begin ") for line in lines}


def tell(what: str, requests: Iterable[Request], seen: set[str]) -> None:
    """For who wants to know: pytest -s."""
    fates = [("lost" if one.name in seen else "turned away") if one.fate == "lost" else one.fate for one in requests]
    print(what, {fate: fates.count(fate) for fate in sorted(set(fates))})


async def test_workers_are_killed_and_replaced_under_load(tmp_path: Path) -> None:
    kills: list[tuple[float, float]] = []
    with listening() as shared:
        async with web_workers(WORKERS, shared, tmp_path) as supervisor:
            events = supervisor.events()
            await supervisor.ready(60)
            async with Load(port_of(shared)) as load:
                await load.served(100)
                for rank in range(WORKERS):
                    killed_at = time.time()
                    supervisor.send_signal(9, rank)
                    exited = await next_event(events, aelastic.RankExited, rank=rank)
                    kills.append((killed_at, exited.time))
                    await next_event(events, aelastic.RankReady, rank=rank, attempt=1)
                    await load.served(50)
                before = len(load.requests)
                await supervisor.replace()
                await load.served(50)
            assert {seen.attempt for seen in supervisor.snapshot().values()} == {2}
            assert {one.worker for one in load.by_fate("answered")[-50:]} <= set(supervisor.pids().values())

    seen = begun(tmp_path)
    tell("killed:", load.requests[:before], seen)
    tell("replaced:", load.requests[before:], seen)
    print(f"latency: {load.latency(50) * 1000:.1f} ms (median), {load.latency(99) * 1000:.1f} ms (99 of 100)")
    assert load.by_fate("refused") == []
    lost = load.by_fate("lost")
    for killed_at, gone_at in kills:
        in_flight = [one for one in lost if one.began <= gone_at and one.ended >= killed_at]
        assert len(in_flight) <= load.clients
        lost = [one for one in lost if one not in in_flight]
    assert lost == []  # none by the replacement


@pytest.mark.any_loop
async def test_connections_that_are_kept_are_moved_to_the_new_workers(tmp_path: Path) -> None:
    with listening() as shared:
        async with web_workers(WORKERS, shared, tmp_path) as supervisor:
            await supervisor.ready(60)
            async with Load(port_of(shared), keep=True) as load:
                await load.served(100)
                await supervisor.replace()
                await load.served(50)
            assert {one.worker for one in load.by_fate("answered")[-50:]} <= set(supervisor.pids().values())
    tell("replaced:", load.requests, begun(tmp_path))
    assert {one.fate for one in load.requests} == {"answered"}
    assert sum(not one.kept for one in load.requests) < len(load.requests) / 10


@pytest.mark.any_loop
async def test_requests_wait_for_the_only_worker_to_come_back(tmp_path: Path) -> None:
    with listening() as shared:
        async with web_workers(1, shared, tmp_path) as supervisor:
            await supervisor.ready(60)
            async with Load(port_of(shared), clients=2) as load:
                await load.served(10)
                supervisor.send_signal(9, 0)
                exited = await next_event(supervisor.events(), aelastic.RankExited, rank=0)
                await load.served(10)
        assert load.by_fate("refused") == []
        assert [one for one in load.by_fate("lost") if one.began > exited.time] == []
