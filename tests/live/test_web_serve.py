"""A web worker that is told to end turns nobody away, and does not wait for ever."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

import aelastic
import aelastic.web
from aelastic.web.worker import Worker
from tests.helpers.http_load import Connection
from tests.helpers.ranks import CHILDREN, line_of, python, redirected
from tests.helpers.sockets import listening, port_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

KINDS = list(itertools.product(["asyncio", "uvloop"], ["h11", "httptools"]))
LONG, ENDLESS = 5.0, 600.0  # drain times: what a test does not wait for


@pytest.fixture
def shared() -> Any:
    """The socket that workers share."""
    with listening() as one:
        yield one


def worker(
    shared: socket.socket,
    tmp_path: Path,
    drain_time: float,
    loop: str = "auto",
    http: str = "auto",
    *certificate: str,
    **options: Any,
) -> Any:
    """One of them."""
    if http == "httptools":
        pytest.importorskip("httptools")
    command = (str(CHILDREN / "asgi_app.py"), loop, http, str(drain_time), *certificate)
    options = {"readiness": aelastic.Notify(), "sockets": [shared], "logs_specs": redirected(tmp_path), **options}
    return aelastic.start_processes("web", sys.executable, {0: command}, {0: {}}, **options)


async def connected(shared: socket.socket) -> Connection:
    """A client."""
    return Connection(*await asyncio.open_connection("127.0.0.1", port_of(shared)))


async def answered(client: Connection, name: str) -> bool:
    """Whether ``client`` is told the name that it asks for."""
    return (await client.ask(name, keep=True)).endswith(name.partition("?")[0].encode())


async def told_to_close(client: Connection) -> None:
    """Ask until the worker has begun to end."""
    while client.is_open:
        assert await answered(client, "again")


@pytest.mark.any_loop
@pytest.mark.parametrize(("loop", "http"), KINDS)
async def test_who_is_connected_is_served(loop: str, http: str, shared: socket.socket, tmp_path: Path) -> None:
    async with worker(shared, tmp_path, LONG, loop, http) as ctx:
        await ctx.ready(30)
        slow, busy, kept, other = [await connected(shared) for _ in range(4)]
        assert await answered(kept, "1")
        assert await answered(other, "1")
        assert kept.is_open  # all have been accepted, as they came one after another
        response = asyncio.create_task(answered(busy, "long?1"))
        await line_of(ctx, "begin long")
        ctx.send_signal(signal.SIGTERM)
        await told_to_close(kept)
        late = await connected(shared)
        ctx.send_signal(signal.SIGTERM)  # once more, which changes nothing
        await asyncio.sleep(0.3)
        assert await answered(slow, "slow")
        assert await answered(other, "2")
        assert await response
        assert not slow.is_open
        assert not other.is_open
        assert not busy.is_open
        result = await ctx.wait()
    assert result.exitcodes == {0: -signal.SIGTERM}
    async with worker(shared, tmp_path, LONG, loop, http) as ctx:
        assert await answered(late, "late")  # as it was left to the next
        late.writer.close()


@pytest.mark.any_loop
@pytest.mark.parametrize(("loop", "http"), KINDS[::3])
async def test_who_says_nothing_is_not_waited_for(loop: str, http: str, shared: socket.socket, tmp_path: Path) -> None:
    async with worker(shared, tmp_path, 0.2, loop, http) as ctx:
        await ctx.ready(30)
        silent, half, busy, kept = [await connected(shared) for _ in range(4)]
        half.writer.write(b"GET / HTTP/1.1\r\nHost:")
        assert await answered(kept, "1")
        response = asyncio.create_task(answered(busy, "long?1"))
        await line_of(ctx, "begin long")
        ctx.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await silent.reader.read() == b""
            assert await half.reader.read() == b""
            assert await kept.reader.read() == b""
            assert await response
            assert not busy.is_open  # told, although it is longer than the drain
            await ctx.wait()
        for one in (silent, half, kept):
            one.writer.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """That of a server, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here (Debian: apt-get install openssl)")
    files = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


@pytest.mark.any_loop
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_with_tls(loop: str, certificate: tuple[str, str], shared: socket.socket, tmp_path: Path) -> None:
    async with worker(shared, tmp_path, 1, loop, "auto", *certificate) as ctx:
        await ctx.ready(30)
        tls = ssl.create_default_context(cafile=certificate[0])
        slow, silent = await connected(shared), await connected(shared)
        kept = Connection(*await asyncio.open_connection("localhost", port_of(shared), ssl=tls))
        assert await answered(kept, "1")
        ctx.send_signal(signal.SIGTERM)
        await told_to_close(kept)
        await slow.writer.start_tls(tls, server_hostname="localhost")
        assert await answered(slow, "slow")
        async with asyncio.timeout(20):
            await ctx.wait()
        silent.writer.close()


async def test_a_second_interrupt_ends_all_waits(shared: socket.socket, tmp_path: Path) -> None:
    async with worker(shared, tmp_path, ENDLESS) as ctx:
        await ctx.ready(30)
        silent, busy, kept = [await connected(shared) for _ in range(3)]
        response = asyncio.create_task(answered(busy, "long?600"))
        await line_of(ctx, "begin long")
        ctx.send_signal(signal.SIGINT)
        await told_to_close(kept)
        ctx.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            result = await ctx.wait()
            with pytest.raises((ConnectionError, EOFError)):
                await response
        assert result.exitcodes == {0: 0}
        silent.writer.close()
        busy.writer.close()


class Waylaid(Worker):
    """Clients connect in the moment in which it sees that it is to end, ``turns`` of the loop before it acts."""

    def __init__(self, shared: socket.socket, turns: int, drain_time: float) -> None:
        super().__init__(config(), drain_time)
        self.shared = shared
        self.turns = turns
        self.comers: list[socket.socket] = []
        self.waylaid = asyncio.Event()

    async def on_tick(self, counter: int) -> bool:
        """As ever."""
        self.should_exit = True
        over = await super().on_tick(counter)
        if not self.comers:
            self.comers = [socket.create_connection(self.shared.getsockname()) for _ in range(3)]
            self.waylaid.set()
            for _ in range(self.turns):
                await asyncio.sleep(0)
        return over


def config() -> uvicorn.Config:
    """Of a server in this process."""
    return uvicorn.Config(hello, lifespan="off", log_config=None)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("turns", range(4))
async def test_who_is_being_accepted_in_the_very_moment_is_served(turns: int, shared: socket.socket) -> None:
    """A loop accepts in one turn, and makes the transport in another."""
    server, successor = Waylaid(shared, turns, LONG), Worker(config(), LONG)
    serving = asyncio.create_task(server.serve([shared.dup()]))
    await server.waylaid.wait()
    clients = [Connection(*await asyncio.open_connection(sock=one)) for one in server.comers]
    asking = [asyncio.create_task(client.ask("", keep=True)) for client in clients]
    await serving
    serving = asyncio.create_task(successor.serve([shared.dup()]))  # takes whom the first has left alone
    async with asyncio.timeout(20):
        assert await asyncio.gather(*asking) == [b"hello"] * 3
    for client in clients:
        client.writer.close()
    successor.should_exit = True
    await serving


@pytest.mark.parametrize("turns", [1, 2])
async def test_who_is_being_accepted_and_says_nothing_is_not_waited_for(turns: int, shared: socket.socket) -> None:
    server = Waylaid(shared, turns, 0.1)
    async with asyncio.timeout(20):
        await server.serve([shared.dup()])
    for client in server.comers:
        client.close()


@pytest.mark.any_loop
async def test_heartbeats_are_those_of_its_loop(shared: socket.socket, tmp_path: Path) -> None:
    async with worker(shared, tmp_path, 0, watchdog=1.0) as ctx:
        await ctx.ready(30)
        await asyncio.sleep(2)
        assert ctx.result is None
        ctx.send_signal(signal.SIGSTOP)
        result = await ctx.wait()
    assert "watchdog" in result.first_failure.reason


@pytest.mark.any_loop
async def test_an_application_that_does_not_start_is_not_ready(shared: socket.socket, tmp_path: Path) -> None:
    script = "import aelastic.web\nasync def app(scope, receive, send): 1 / 0\naelastic.web.serve(app, lifespan='on')"
    async with python(script, readiness=aelastic.Notify(), sockets=[shared], logs_specs=redirected(tmp_path)) as ctx:
        with pytest.raises(aelastic.NotReadyError):
            await ctx.ready(30)
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: 3}


@pytest.mark.any_loop
async def test_without_sockets_it_has_a_port_of_its_own(tmp_path: Path) -> None:
    with listening() as held:
        port = port_of(held)
    script = f"import aelastic.web; aelastic.web.serve('asgi_app:app', port={port})"
    envs = {0: {"PYTHONPATH": os.pathsep.join([str(CHILDREN), *sys.path])}}
    async with python(script, envs=envs, readiness=aelastic.Notify(), logs_specs=redirected(tmp_path)) as ctx:
        await ctx.ready(30)
        client = Connection(*await asyncio.open_connection("127.0.0.1", port))
        assert await answered(client, "1")
        client.writer.close()


@pytest.mark.any_loop
async def test_what_is_not_for_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="workers is not for a rank"):
        aelastic.web.serve("there:app", workers=4)
    with pytest.raises(aelastic.InvalidArgumentError, match="drain_time is not negative, got nan"):
        aelastic.web.serve("there:app", drain_time=float("nan"))
    monkeypatch.setitem(sys.modules, "aelastic.web.worker", None)
    with pytest.raises(ModuleNotFoundError, match="pip install uvicorn"):
        aelastic.web.serve("there:app")
