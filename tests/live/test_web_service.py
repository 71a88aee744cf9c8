"""A web service with ranks, under a real server, until it ends in whatever way."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request

import aelastic
import aelastic.web
from tests.helpers.apps import LOOPS, Application, describe, marked, python_path
from tests.helpers.asgi import Watcher
from tests.helpers.ranks import child, is_alive, redirected, shell, wait_until_gone
from tests.helpers.supervisors import STAYS, one_for_one

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Message

ON_EACH_LOOP = pytest.mark.parametrize("loop", LOOPS)
RESTARTS = int(os.environ.get("AELASTIC_TEST_RELOADS", "4"))


@contextmanager
def serving(loop: str, *scripts: str, timeout: float = 30) -> Iterator[tuple[Application, str]]:
    """The service and its address."""
    with Application("app_serves", loop, timeout, *scripts) as service:
        yield service, f"http://127.0.0.1:{service.line('serving').split()[1]}"


def pids_of(url: str) -> list[int]:
    return [rank["pid"] for rank in httpx.get(f"{url}/ranks/api/runs/ranks", timeout=20).json()["ranks"]]


@ON_EACH_LOOP
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_the_ranks_end_with_the_service_although_somebody_watches(loop: str, sig: signal.Signals) -> None:
    with serving(loop, STAYS, child("ignores_term"), timeout=1) as (service, url):
        pids = pids_of(url)
        with httpx.stream("GET", f"{url}/ranks/api/runs/ranks/stream", timeout=30) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: hello"
            service.process.send_signal(sig)
            for _ in lines:
                pass  # it is ended by the server, not broken off
        ended = service.ended()
        assert not [pid for pid in pids if is_alive(pid)]
        assert service.survivors() == []
        assert ended.noise == []


def test_ranks_that_cannot_be_started_are_the_services_failure() -> None:
    with Application("app_serves", "uvloop", "nonsense", STAYS) as service:
        assert service.ended().code != 0
        assert service.survivors() == []


@ON_EACH_LOOP
def test_a_client_that_goes_away_cancels_what_it_waited_for(loop: str) -> None:
    with serving(loop, STAYS) as (service, url):
        pids = pids_of(url)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /wait HTTP/1.1\r\nHost: service\r\n\r\n")
            time.sleep(0.5)
            assert is_alive(pids[0]), "it waits"
        assert wait_until_gone(pids[0], 20)
        assert httpx.get(f"{url}/ranks/api/runs/ranks", timeout=20).json()["state"] == "stopped"
        service.process.terminate()
        assert service.ended().noise == []


def test_a_client_that_waits_gets_its_answer() -> None:
    with serving("uvloop", "sleep 0.5") as (service, url):
        assert httpx.get(f"{url}/wait", timeout=20).json() == {"0": 0}
        service.process.terminate()
        assert service.ended().noise == []


def test_a_client_that_never_reads_does_not_hold_the_service_up() -> None:
    with serving("uvloop", "yes 'a long line of text that fills buffers' & exec sleep 600") as (service, url):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /ranks/api/runs/ranks/stream HTTP/1.1\r\nHost: service\r\n\r\n")
            time.sleep(1)
            assert pids_of(url)
        service.process.terminate()
        assert service.ended().noise == []
        assert service.survivors() == []


@pytest.mark.timeout(300)
def test_restarts_of_the_service_leave_nothing_behind() -> None:
    for turn in range(RESTARTS):
        with serving(LOOPS[turn % 2], STAYS, STAYS) as (service, url):
            pids = pids_of(url)
            service.process.send_signal(signal.SIGKILL if turn % 2 else signal.SIGTERM)
            service.ended()
            assert service.survivors() == []
            assert not [describe(pid) for pid in pids if is_alive(pid)]


RELOADED = """
import sys
from fastapi import FastAPI
import aelastic, aelastic.web

lifespan = aelastic.web.lifespan(
    lambda: aelastic.start_processes("w", "sleep", {0: ("600",), 1: ("600",)}, {0: {}, 1: {}})
)
app = FastAPI(lifespan=lifespan)
app.mount("/ranks", aelastic.web.dashboard(lifespan))
TURN = 0

@app.get("/turn")
async def turn() -> int:
    return TURN
"""


@pytest.mark.timeout(300)
def test_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "reloaded.py"
    source.write_text(RELOADED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, mark = f"http://127.0.0.1:{port}", f"{port}-{os.getpid()}"
    command = [sys.executable, "-m", "uvicorn", "--reload", "--port", str(port), "--log-level", "error", "reloaded:app"]
    env = {**os.environ, "PYTHONPATH": python_path(), "RELOAD_MARK": mark}
    with subprocess.Popen(command, cwd=tmp_path, env=env) as server:
        try:
            before: set[int] = set()
            for turn in range(RESTARTS):
                wait_for_turn(url, turn)
                pids = set(pids_of(url))
                assert not pids & before
                assert not [pid for pid in before if is_alive(pid)], "two generations at the same time"
                before = pids
                source.write_text(RELOADED.replace("TURN = 0", f"TURN = {turn + 1}" + " " * turn))
            wait_for_turn(url, RESTARTS)
        finally:
            server.terminate()
            server.wait(30)
    deadline = time.monotonic() + 10
    while (left := marked("RELOAD_MARK", mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def wait_for_turn(url: str, turn: int) -> None:
    """Until the code of that turn answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/turn", timeout=5).json() == turn:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"no answer of turn {turn}"
        time.sleep(0.05)


# until_disconnect and lifespan by themselves


class Connection:
    """A client, as far as a request knows of it."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self.receive)


@pytest.mark.asyncio
async def test_what_is_waited_for_comes_back() -> None:
    assert await aelastic.web.until_disconnect(Connection().request, asyncio.sleep(0, "result")) == "result"


@pytest.mark.asyncio
async def test_what_goes_wrong_comes_back_as_it_is() -> None:
    async def fault() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await aelastic.web.until_disconnect(Connection().request, fault())


@pytest.mark.asyncio
async def test_a_client_that_leaves_stops_the_ranks_and_the_handler_ends_after_them() -> None:
    async with shell("exec sleep 600") as ctx:
        connection = Connection()
        waiting = asyncio.create_task(aelastic.web.until_disconnect(connection.request, ctx.wait()))
        await asyncio.sleep(0)
        connection.gone.set()
        with pytest.raises(HTTPException):
            await waiting
        assert ctx.done
        assert ctx.result is not None
        assert ctx.result.exitcodes == {0: -signal.SIGTERM}


@pytest.mark.asyncio
async def test_a_client_that_leaves_does_not_stop_the_ranks_of_a_look() -> None:
    async with shell("exec sleep 600", readiness=aelastic.Notify()) as ctx:
        connection = Connection()
        connection.gone.set()
        with pytest.raises(HTTPException):
            await aelastic.web.until_disconnect(connection.request, ctx.ready())
        assert not ctx.done


@pytest.mark.asyncio
async def test_a_handler_that_is_cancelled_is_cancelled() -> None:
    async with shell("exec sleep 600") as ctx:
        waiting = asyncio.create_task(aelastic.web.until_disconnect(Connection().request, ctx.wait()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ctx.done


@pytest.mark.asyncio
async def test_a_lifespan_starts_ranks_and_stops_them() -> None:
    lifespan = aelastic.web.lifespan(lambda: one_for_one(STAYS), "workers")
    app: Any = Starlette(lifespan=lifespan)
    for _ in range(2):  # an application may be started again
        async with lifespan(app) as state:
            assert state == {"workers": app.state.workers}
            pids = app.state.workers.pids()
            assert is_alive(pids[0])
        assert not is_alive(pids[0])
        assert app.state.workers.done


@pytest.mark.parametrize("linger", [0.0, 30.0])
def test_a_watcher_in_a_later_loop(linger: float, tmp_path: Path) -> None:
    """Applications are run again and again in tests, each time in a loop of its own."""
    sources: list[Any] = []
    app = aelastic.web.dashboard(lambda: sources[-1], linger=linger)

    async def watch(ends: bool) -> None:
        async with shell("echo here; exec sleep 600", logs_specs=redirected(tmp_path)) as ctx:
            sources.append(ctx)
            async with Watcher(app) as watcher:
                await watcher.line("here")
                if not ends:
                    return
                ctx.request_stop()
                await watcher.event("over")
                await watcher.end()

    async def watch_what_is_over() -> None:
        async with Watcher(app) as watcher:
            assert (await watcher.event("table"))["run"]["state"] == "stopped"
            await watcher.event("over")
            await watcher.end()

    for ends in (False, True, False):
        asyncio.run(watch(ends))
        asyncio.run(watch_what_is_over())
