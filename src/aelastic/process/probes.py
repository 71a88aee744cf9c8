"""One try of a probe. Each says what is wrong, ``""`` for nothing; none raises but by being cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

from aelastic.errors.base import InvalidArgumentError
from aelastic.process.launch import Command, launch
from aelastic.process.listeners import Holder, holder_of
from aelastic.readiness import HttpProbe, split_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from concurrent.futures import Executor

    from aelastic.process.listeners import Rank
    from aelastic.readiness import ExecProbe, TcpProbe, Url

_BLOCK = 64 * 1024
_LONGEST_REAPING = 5.0


def check_library(probe: object) -> None:
    """Raise ``InvalidArgumentError`` when ``probe`` needs a library that is not installed."""
    if isinstance(probe, HttpProbe):
        try:
            import h11  # noqa: F401
        except ImportError as error:
            raise InvalidArgumentError("HttpProbe needs h11: pip install 'aelastic[http]'") from error


async def try_tcp(probe: TcpProbe, rank: Rank, executor: Executor) -> str:
    """Connect, and look who listens."""
    try:
        async with _connected(probe.host, probe.port) as (_, writer):
            peer = writer.get_extra_info("peername")
        return await _foreign(rank, peer, executor) if probe.owned else ""
    except (OSError, UnicodeError) as error:
        return f"{probe.host}:{probe.port}: {error}"


async def try_http(probe: HttpProbe, rank: Rank, executor: Executor) -> str:
    """Send a GET, read the status, and look who listens."""
    url = split_url(probe.url)
    try:
        secure = await _in_thread(executor, _tls, probe.verify) if url.secure else None
        async with _connected(url.host, url.port, secure) as (reader, writer):
            peer = writer.get_extra_info("peername")
            if problem := await _request(url, reader, writer):
                return f"{probe.url}: {problem}"
        return await _foreign(rank, peer, executor) if probe.owned else ""
    except (OSError, UnicodeError) as error:  # TLS's are such, too
        return f"{probe.url}: {error}"


async def try_exec(
    probe: ExecProbe, env: Mapping[str, str], clock: Callable[[], float], stopped: asyncio.Future[None]
) -> str:
    """Run the program until it ends, its time is over, or ``stopped`` is done. Must not be cancelled."""
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    command = Command(tuple(probe.argv), env, subprocess.DEVNULL, subprocess.DEVNULL)
    try:
        process = await launch(command, lambda exitcode, at: ended.set_result(exitcode), clock)
    except OSError as error:
        return f"{probe.argv[0]}: {error.strerror}"
    either: set[asyncio.Future[Any]] = {ended, stopped}
    try:
        await asyncio.wait(either, timeout=probe.timeout, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return f"{probe.argv[0]} exited with {ended.result()}" if ended.result() else ""
    finally:
        process.family.signal(signal.SIGKILL)  # nothing, if it has ended
    await asyncio.wait({ended}, timeout=_LONGEST_REAPING)
    return f"{probe.argv[0]} took more than {probe.timeout:g} s"


@contextlib.asynccontextmanager
async def _connected(
    host: str, port: int, secure: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port, ssl=secure)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _request(url: Url, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    import h11

    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", url.authority), ("User-Agent", "aelastic"), ("Accept", "*/*"), ("Connection", "close")]
    request = h11.Request(method="GET", target=url.target, headers=headers)
    writer.write(connection.send(request) + connection.send(h11.EndOfMessage()))
    try:
        while not isinstance(event := connection.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_BLOCK))
            elif not isinstance(event, h11.InformationalResponse):
                return "the connection was closed without an answer"
    except h11.RemoteProtocolError as error:
        return f"no HTTP answer: {error}"
    return "" if 200 <= event.status_code < 400 else f"status {event.status_code}"


async def _foreign(rank: Rank, peer: tuple[Any, ...] | None, executor: Executor) -> str:
    """What is wrong when the listener, ``peer`` of a connection, is not the rank's."""
    if peer is None:
        return "the connection was lost at once"
    host, port, *_ = peer
    holder = await _in_thread(executor, holder_of, rank, host, port)
    return f"{host}:{port} is held by another process, not by the rank" if holder is Holder.OTHER else ""


def _tls(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _in_thread(executor: Executor, function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(executor, function, *args)
