"""Probes: finding out that a rank is ready which does not say so."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers.ranks import CHILDREN, child, is_alive, line_of, redirected, shell, wait_until_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.asyncio, pytest.mark.any_loop]

FAST: dict[str, Any] = {"interval": 0.1}


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return int(listener.getsockname()[1])


def serving(port: int, vice: str = "answers", host: str = "127.0.0.1") -> str:
    """The shell command that becomes the server."""
    return child("serves", str(port), vice, host)


def has_ipv6() -> bool:
    try:
        free_port("::1")
    except OSError:
        return False
    return True


# TCP


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
async def test_a_rank_that_listens_is_ready(bound: str) -> None:
    port = free_port()
    async with shell(serving(port, host=bound), readiness=aelastic.TcpProbe(port, **FAST)) as ctx:
        assert not ctx.snapshot()[0].ready
        await ctx.ready(30)
        with socket.create_connection(("127.0.0.1", port)):
            pass


@pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")
@pytest.mark.parametrize(("bound", "host"), [("::1", "::1"), ("::", "::1"), ("::1", "localhost")])
async def test_a_rank_that_listens_on_ipv6_is_ready(bound: str, host: str) -> None:
    port = free_port("::1")
    if host == "localhost" and not any(one[0] is socket.AF_INET6 for one in socket.getaddrinfo("localhost", port)):
        pytest.skip("localhost has no IPv6 address here")
    async with shell(serving(port, host=bound), readiness=aelastic.TcpProbe(port, host, **FAST)) as ctx:
        await ctx.ready(30)


@pytest.mark.parametrize(
    "how",
    [
        "{} & wait",
        "setsid {} & wait",
        "(sh -c 'setsid {} & wait') & wait",
        "(setsid {} &); exec sleep 60",  # a daemon: an orphan in a session of its own
    ],
)
async def test_what_a_rank_has_started_may_listen_for_it(how: str) -> None:
    port = free_port()
    command = f"{sys.executable} {CHILDREN / 'serves.py'} {port} answers"
    async with shell(how.format(command), readiness=aelastic.TcpProbe(port, **FAST)) as ctx:
        await ctx.ready(30)
        server = listener_pid(port)
    if is_alive(server):  # it had left the group
        os.kill(server, signal.SIGKILL)
    assert wait_until_gone(server)


def listener_pid(port: int) -> int:
    """Whom the command line names."""
    found = subprocess.run(["pgrep", "-f", f"serves.py {port} answers$"], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[-1])


async def test_another_program_that_has_the_port_is_not_the_rank() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with shell("sleep 60", readiness=aelastic.TcpProbe(port, **FAST)) as ctx:
            with pytest.raises(
                TimeoutError, match=f"rank 0: 127.0.0.1:{port} is held by another process, not by the rank"
            ):
                await ctx.ready(0.5)


async def test_another_program_may_listen_for_a_rank_when_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        probe = aelastic.TcpProbe(other.getsockname()[1], owned=False)
        async with shell("sleep 60", readiness=probe) as ctx:
            await ctx.ready(30)


async def test_nobody_listens() -> None:
    async with shell("sleep 60", readiness=aelastic.TcpProbe(free_port())) as ctx:
        with pytest.raises(TimeoutError, match=r"rank 0: 127\.0\.0\.1:[0-9]+: .*(refused|[Cc]onnect call failed)"):
            await ctx.ready(0.3)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70, "300.0.0.1"])
async def test_a_host_that_does_not_exist_is_only_never_ready(host: str) -> None:
    async with shell("sleep 60", readiness=aelastic.TcpProbe(80, host)) as ctx:
        with pytest.raises(TimeoutError, match="rank 0: "):
            await ctx.ready(0.3)
        assert await ctx.wait(0) is None


async def test_each_rank_has_its_own_port() -> None:
    ports = [free_port(), free_port()]
    readiness = {rank: aelastic.TcpProbe(port, **FAST) for rank, port in enumerate(ports)}
    async with shell(serving(ports[0]), "sleep 60", readiness=readiness) as ctx:
        await ctx.ready(30, rank=0)
        assert [one.ready for one in ctx.snapshot().values()] == [True, False]


async def test_a_rank_that_dies_while_it_is_probed_fails_the_wait_at_once() -> None:
    async with shell("exit 7", readiness=aelastic.TcpProbe(free_port())) as ctx:
        with pytest.raises(aelastic.NotReadyError, match="exited with code 7 before it was ready"):
            await ctx.ready()


async def test_ready_by_a_probe_and_then_watched(tmp_path: Path) -> None:
    port = free_port()
    script = f"""
import socket, time
from aelastic import rank
rank.heartbeat()
time.sleep(0.8)
with socket.create_server(("127.0.0.1", {port})):
    while True: time.sleep(0.05)
"""
    async with aelastic.start_processes(
        "w",
        sys.executable,
        {0: ("-c", script)},
        {0: {}},
        logs_specs=redirected(tmp_path),
        readiness=aelastic.TcpProbe(port, **FAST),
        watchdog=0.3,
    ) as ctx:
        await ctx.ready(30)
        result = await ctx.wait()
    assert result is not None
    assert result.first_failure is not None
    assert "missed its watchdog" in result.first_failure.reason


# HTTP


@pytest.mark.parametrize("vice", ["answers", "redirects", "informs", "recovers"])
async def test_a_rank_that_answers_is_ready(vice: str) -> None:
    port = free_port()
    probe = aelastic.HttpProbe(f"http://127.0.0.1:{port}/health?full=1", **FAST)
    async with shell(serving(port, vice), readiness=probe) as ctx:
        await ctx.ready(30)


@pytest.mark.parametrize(
    ("vice", "problem"),
    [
        ("is unwell", "status 503"),
        ("speaks otherwise", "no HTTP answer"),
        ("hangs up", "without an answer|no HTTP answer|reset"),
        ("says nothing", "no answer within 0.2 s"),
    ],
)
async def test_a_rank_that_does_not_answer_well_is_not_ready(vice: str, problem: str, tmp_path: Path) -> None:
    port = free_port()
    probe = aelastic.HttpProbe(f"http://127.0.0.1:{port}/", timeout=0.2, **FAST)
    async with shell(serving(port, vice), readiness=probe, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "soon")
        with pytest.raises(TimeoutError, match=problem):
            await ctx.ready(0.7)


async def test_an_answer_of_another_program_does_not_count() -> None:
    port = free_port()
    probe = aelastic.HttpProbe(f"http://127.0.0.1:{port}/", **FAST)
    with subprocess.Popen([sys.executable, str(CHILDREN / "serves.py"), str(port), "answers"]) as other:
        try:
            async with shell("sleep 60", readiness=probe) as ctx:
                with pytest.raises(TimeoutError, match="held by another process"):
                    await ctx.ready(1.5)
        finally:
            other.terminate()


@pytest.mark.parametrize("verify", [True, False])
async def test_https(verify: bool, tmp_path: Path) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    try:
        subprocess.run(
            [*make, "-subj", "/CN=localhost", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("the machine has no openssl")
    port = free_port()
    script = f"""
import http.server, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain({str(tmp_path / "cert")!r}, {str(tmp_path / "key")!r})
server = http.server.HTTPServer(("127.0.0.1", {port}), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever(0.05)
"""
    probe = aelastic.HttpProbe(f"https://127.0.0.1:{port}/", verify=verify, **FAST)
    async with aelastic.start_processes(
        "w", sys.executable, {0: ("-c", script)}, {0: {}}, logs_specs=redirected(tmp_path), readiness=probe
    ) as ctx:
        if not verify:
            await ctx.ready(30)
            return
        with pytest.raises(TimeoutError, match=r"certificate"):
            await ctx.ready(1.5)


async def test_a_slow_answer_does_not_hold_up_the_end() -> None:
    port = free_port()
    probe = aelastic.HttpProbe(f"http://127.0.0.1:{port}/", timeout=600, interval=600)
    begin = time.monotonic()
    async with shell(serving(port, "says nothing"), readiness=probe) as ctx:
        with pytest.raises(TimeoutError):
            await ctx.ready(1.0)
    assert time.monotonic() - begin < 30


async def test_http_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(aelastic.InvalidArgumentError, match=r"pip install 'aelastic\[http\]'"):
        await shell("exit 0", readiness=aelastic.HttpProbe("http://127.0.0.1/"))


# A program


async def test_a_program_says_when_a_rank_is_ready(tmp_path: Path) -> None:
    probe = aelastic.ExecProbe(("/bin/sh", "-c", 'test -f "$MARK"'), **FAST)
    script = 'sleep 0.2; echo > "$MARK"; exec sleep 60'
    async with shell(script, envs={0: {"MARK": str(tmp_path / "mark")}}, readiness=probe) as ctx:
        await ctx.ready(30)


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("false",), "false exited with 1"),
        (("/no/such/program",), "/no/such/program: No such file or directory"),
    ],
)
async def test_a_program_that_does_not_succeed(argv: tuple[str, ...], problem: str) -> None:
    async with shell("sleep 60", readiness=aelastic.ExecProbe(argv, **FAST)) as ctx:
        with pytest.raises(TimeoutError, match=f"rank 0: {problem}"):
            await ctx.ready(1.0)


async def test_a_program_that_hangs_is_killed_with_its_family(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    probe = aelastic.ExecProbe(
        ("/bin/sh", "-c", f"echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; wait"), timeout=0.3
    )
    async with shell("sleep 60", readiness=probe) as ctx:
        with pytest.raises(TimeoutError, match=r"/bin/sh took more than 0\.3 s"):
            await ctx.ready(1.5)
    started = list(map(int, pids.read_text().split()))
    assert len(started) >= 2
    assert all(map(wait_until_gone, started))


async def test_the_end_of_a_run_ends_its_probe(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    probe = aelastic.ExecProbe(("/bin/sh", "-c", f"echo $$ >> {pids}; exec sleep 600"), timeout=600)
    async with shell("sleep 60", readiness=probe):
        while not pids.exists() or not pids.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not is_alive(int(pids.read_text()))


# A line


@pytest.mark.parametrize("stream", [aelastic.Std.ALL, aelastic.Std.ERR])
async def test_a_line_says_that_a_rank_is_ready(stream: aelastic.Std, tmp_path: Path) -> None:
    script = "echo starting; sleep 0.1; echo 'listening on port 80' >&2; exec sleep 60"
    probe = aelastic.LogProbe(r"listening on port \d+", stream)
    async with shell(script, readiness=probe, logs_specs=redirected(tmp_path)) as ctx:
        await ctx.ready(30)


async def test_a_line_of_the_other_stream_does_not_count(tmp_path: Path) -> None:
    probe = aelastic.LogProbe("ready", aelastic.Std.ERR)
    async with shell("echo ready; exec sleep 60", readiness=probe, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
        with pytest.raises(TimeoutError, match="rank 0: no line matches 'ready'"):
            await ctx.ready(0.2)


async def test_the_last_line_of_a_rank_counts(tmp_path: Path) -> None:
    for _ in range(10):
        async with shell("printf ready", readiness=aelastic.LogProbe("ready"), logs_specs=redirected(tmp_path)) as ctx:
            await ctx.ready(30)


async def test_a_stream_that_is_not_captured_has_no_lines(tmp_path: Path) -> None:
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), redirects=aelastic.Std.OUT)
    with pytest.raises(aelastic.InvalidArgumentError, match=r"readiness\[0\]: the stream is not captured"):
        await shell("exit 0", readiness=aelastic.LogProbe("x", aelastic.Std.ERR), logs_specs=specs)


@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_a_rank_that_finds_its_port_taken_and_ends_was_never_ready(kind: str) -> None:
    port = free_port()
    probe = (
        aelastic.TcpProbe(port, interval=0.01)
        if kind == "tcp"
        else aelastic.HttpProbe(f"http://127.0.0.1:{port}/", interval=0.01)
    )
    with subprocess.Popen([sys.executable, str(CHILDREN / "serves.py"), str(port), "answers"]) as other:
        try:
            async with shell("sleep 60", readiness=aelastic.TcpProbe(port, owned=False)) as ctx:
                await ctx.ready()
            for _ in range(10):
                async with shell("sleep 0.03; exit 1", readiness=probe) as ctx:
                    with pytest.raises(aelastic.NotReadyError, match="exited with code 1"):
                        await ctx.ready()
        finally:
            other.terminate()
