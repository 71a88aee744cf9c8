"""Lines and events as they come, to watchers that are fast, slow, or gone."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from starlette.requests import Request

import aelastic
import aelastic.web
from aelastic.web.hub import Hub
from aelastic.web.lookup import Lookup
from aelastic.web.sources import Sources
from aelastic.web.stream import Position
from tests.helpers.asgi import Watcher, client
from tests.helpers.ranks import line_of, python, redirected, shell
from tests.helpers.supervisors import LATER, STAYS, one_for_one

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import ASGIApp

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(autouse=True)
async def readers_end(no_tasks_left: None) -> AsyncIterator[None]:
    """What lingers after the last watcher ends soon after its source does."""
    yield
    while [task for task in asyncio.all_tasks() if task.get_name().startswith("aelastic-web")]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def dashboard(source: Any, linger: float = 0.0, heartbeat: float = 15.0) -> ASGIApp:
    """One that leaves nothing behind when nobody watches."""
    return aelastic.web.dashboard(source, linger=linger, heartbeat=heartbeat)


async def test_lines_and_events_of_all_ranks(tmp_path: Path) -> None:
    scripts = "echo out; exec sleep 600", "echo err >&2; exec sleep 600"
    async with shell(*scripts, logs_specs=redirected(tmp_path)) as ctx, Watcher(dashboard(ctx)) as watcher:
        assert (await watcher.line("out"))[:2] == [0, 1]
        assert (await watcher.line("err"))[:2] == [1, 2]
        table = await watcher.event("table")
        assert [rank["pid"] for rank in table["run"]["ranks"]] == [*ctx.pids().values()]
        assert watcher.status == 200
        assert watcher.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert watcher.headers["cache-control"] == "no-store"
        while not (events := watcher.happened):
            await watcher._more("what has happened")
        assert [event["text"] for event in events] == [f"rank {r} started with pid {p}" for r, p in ctx.pids().items()]


async def test_only_the_chosen_ranks(tmp_path: Path) -> None:
    async with shell(*["echo line; exec sleep 600"] * 3, logs_specs=redirected(tmp_path)) as ctx:
        for rank in range(3):
            await line_of(ctx, "line", rank)
        async with Watcher(dashboard(ctx), query="ranks=1,2,7,x") as watcher:
            await watcher.line("line")
            assert {row[0] for row in watcher.rows} == {1, 2}


async def test_thousands_of_ranks_are_chosen() -> None:
    supervisor = one_for_one(*["true"] * 4000)
    chosen = range(1000, 4000)
    query = f"ranks={','.join(map(str, chosen))}".encode()
    request = Request({"type": "http", "query_string": query, "headers": []})
    assert Lookup(Sources(supervisor)).ranks(request, supervisor) == frozenset(chosen)


async def test_a_rank_that_dies_is_told_at_once(tmp_path: Path) -> None:
    async with one_for_one(STAYS, STAYS, restart=LATER) as supervisor:
        async with Watcher(dashboard(supervisor)) as watcher:
            await watcher.event("table")
            supervisor.send_signal(signal.SIGKILL, 1)
            while True:
                table = watcher.events[-1][1] if watcher.events[-1][0] == "table" else None
                if table and table["run"]["ranks"][1]["state"] == "waiting":
                    break
                await watcher._more("the end of rank 1")
        assert table["run"]["ranks"][1]["exitcode"] == -9
        assert table["run"]["ranks"][0]["state"] == "running"


async def test_processor_and_memory(tmp_path: Path) -> None:
    async with python("while True: pass") as ctx, Watcher(dashboard(ctx)) as watcher:
        while True:
            tables = [data["run"]["ranks"][0] for name, data in watcher.events if name == "table"]
            if any((rank["cpu"] or 0) > 0 for rank in tables):
                break
            await watcher._more("a busy rank")
        assert tables[-1]["memory"] > 1_000_000


async def test_the_end_is_told_and_then_the_stream_ends(tmp_path: Path) -> None:
    async with shell("echo last words", logs_specs=redirected(tmp_path)) as ctx:
        async with Watcher(dashboard(ctx)) as watcher:
            await watcher.line("last words")
            await watcher.event("over")
            await watcher.end()
        tables = [data for name, data in watcher.events if name == "table"]
        assert tables[-1]["run"]["state"] == "succeeded"
        async with Watcher(dashboard(ctx)) as late:
            await late.line("last words")
            await late.event("over")


async def test_a_source_that_is_started_while_somebody_watches(tmp_path: Path) -> None:
    supervisor = one_for_one("echo here; exec sleep 600", logs_specs=redirected(tmp_path))
    async with Watcher(dashboard(supervisor)) as watcher:
        assert (await watcher.event("table"))["run"]["state"] == "pending"
        async with supervisor:
            await watcher.line("here")


async def test_nothing_is_captured(tmp_path: Path) -> None:
    async with shell("exec sleep 600") as ctx, Watcher(dashboard(ctx)) as watcher:
        portion = await watcher.event("portion")
        assert portion["events"][0]["event"] == "rank_started"


# Coming back


async def test_a_watcher_that_comes_back_misses_nothing(tmp_path: Path) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        app = dashboard(ctx, linger=30.0)
        async with Watcher(app) as first:
            while len(first.rows) < 20:
                await first._more("lines")
        await asyncio.sleep(0.5)  # lines come, and nobody sees them
        async with Watcher(app, last=first.last) as second:
            assert (await second.event("hello"))["resumed"] is True
            while len(second.rows) < 50:
                await second._more("lines")
        seen = [int(row[3]) for row in (*first.rows, *second.rows)]
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert not [data for name, data in second.events if name == "gap"]
        async with Watcher(dashboard(ctx), last=first.last) as stranger:
            assert (await stranger.event("hello"))["resumed"] is False, "another server has numbers of its own"


@pytest.mark.parametrize(
    "text", ["", "x", "a-b-c", "a-1", "a-1-2-3", "a--1-2", "a-1-" + "9" * 99, "a-\u0663-1", "-" * 1000]
)
async def test_odd_positions_are_none(text: str) -> None:
    assert Position.parse(text) is None


async def test_positions_are_read_as_they_are_written() -> None:
    assert Position.parse(str(Position("ab12", 3, 40))) == Position("ab12", 3, 40)


async def test_a_position_of_the_future_begins_anew(tmp_path: Path) -> None:
    async with shell("echo here; exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        app = dashboard(ctx, linger=30.0)
        async with Watcher(app) as first:
            await first.line("here")
        epoch = first.last.split("-")[0]
        async with Watcher(app, last=f"{epoch}-999999-5") as second:
            assert (await second.event("hello"))["resumed"] is False
            await second.line("here")


# Slow ones, and those that are gone


async def test_a_watcher_that_does_not_read_costs_nobody_anything(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo ready; until [ -e {go} ]; do sleep 0.02; done; seq 400000; echo done; exec sleep 600"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        app = dashboard(ctx, linger=30.0)
        async with Watcher(app) as stuck, Watcher(app) as other:
            await stuck.line("ready")
            stuck.reads.clear()
            go.touch()
            await other.line("done")
            sent = stuck.sent
            stuck.reads.set()
            await stuck.line("done")
            assert sent < 1_000_000, "one message at most was under way"
        for watcher in (stuck, other):
            assert watcher.lost > 100_000
            assert watcher.lost + len(watcher.rows) == 400_002, "every line is shown, or counted as lost"


async def test_a_watcher_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with shell("exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
        app = dashboard(ctx)
        before = asyncio.all_tasks()
        async with Watcher(app) as first, Watcher(app) as second:
            await first.event("table")
            await second.event("table")
            readers = [task for task in asyncio.all_tasks() if task.get_name() == "aelastic-web-ranks"]
            assert len(readers) == 1, "one reader for all who watch"
            assert "aelastic_watchers 2.0" in await metrics(app)
            first.leave()
            await first.end()
            assert "aelastic_watchers 1.0" in await metrics(app)
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 - until the last is over
            await asyncio.sleep(0)
        assert "aelastic_watchers 0.0" in await metrics(app)
        assert ctx._run is not None
        assert ctx._run.streams.feed.wanted_by(0, aelastic.Std.OUT) == [], "lines are made for nobody"


async def test_what_nobody_watches_is_not_kept() -> None:
    ctx = await shell("true")
    await ctx.wait()
    app = dashboard(ctx)
    async with Watcher(app) as watcher:
        await watcher.event("over")
        await watcher.end()
    await asyncio.sleep(0.01)
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Hub]


async def metrics(app: ASGIApp) -> str:
    async with client(app) as web:
        return (await web.get("/metrics")).text


async def test_a_server_that_says_by_an_error_that_the_client_is_gone() -> None:
    """As ASGI 2.4 has it."""
    async with shell("exec sleep 600") as ctx:
        app = dashboard(ctx)
        async with Watcher(app, fails=OSError("gone")) as watcher:
            await watcher.end()
        assert "aelastic_watchers 0.0" in await metrics(app)


async def test_silence_is_filled_with_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelastic.web.hub.TABLE_PACE", 600.0)
    async with shell("exec sleep 600") as ctx, Watcher(dashboard(ctx, heartbeat=0.05)) as watcher:
        while watcher.comments < 3:
            await watcher._more("a heartbeat")


async def test_a_head_request_ends() -> None:
    async with shell("exec sleep 600") as ctx, client(dashboard(ctx)) as web:
        response = await web.head("/api/runs/ranks/stream")
        assert (response.status_code, response.content) == (200, b"")


async def test_too_many_watchers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelastic.web.reading.MOST_WATCHERS", 1)
    async with shell("exec sleep 600") as ctx:
        app = dashboard(ctx)
        async with Watcher(app) as first:
            await first.event("table")
            async with client(app) as web:
                assert (await web.get("/api/runs/ranks/stream")).status_code == 503


async def test_a_source_that_is_replaced_ends_the_stream(tmp_path: Path) -> None:
    async with shell("exec sleep 600", name="old") as old, shell("exec sleep 600", name="new") as new:
        sources = {"a": old}
        app = dashboard(sources)
        async with Watcher(app, "a") as watcher:
            await watcher.event("table")
            sources["a"] = new
            await watcher.end()
        assert "over" not in [name for name, _ in watcher.events], "so that the watcher comes back"
        async with Watcher(app, "a") as watcher:
            assert (await watcher.event("table"))["run"]["title"] == "new"
            del sources["a"]
            await watcher.end()


class Server:
    """As uvicorn's."""

    should_exit = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        self.should_exit = True


@pytest.mark.holds_the_loop
async def test_a_server_that_stops_ends_the_stream() -> None:
    before = signal.signal(signal.SIGTERM, Server().handle_exit)
    try:
        async with shell("exec sleep 600") as ctx, Watcher(dashboard(ctx)) as watcher:
            await watcher.event("table")
            signal.raise_signal(signal.SIGTERM)
            await watcher.end()
            assert not ctx.done
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_fault_of_the_dashboard_is_logged_and_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any) -> None:
        raise ZeroDivisionError

    async with shell("exec sleep 600") as ctx:
        monkeypatch.setattr("aelastic.web.hub.run_of", fault)
        async with Watcher(dashboard(ctx)) as watcher:
            await watcher.end()
        assert "cannot look at 'ranks' any more" in caplog.text
        assert not ctx.done
