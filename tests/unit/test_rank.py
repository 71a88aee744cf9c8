"""What a Python rank can ask and tell."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from aelastic import rank

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Somebody who listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rank, and no supervisor."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "AELASTIC_RANK", "AELASTIC_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_told(supervisor: socket.socket) -> None:
    rank.ready()
    rank.status("step 1\nof  2")
    rank.progress(1, 2)
    rank.progress(0.5)
    rank.heartbeat()
    rank.stopping()
    assert [supervisor.recv(4096) for _ in range(6)] == [
        b"READY=1",
        b"STATUS=step 1 of 2",
        b"X_AELASTIC_PROGRESS=1.0/2.0\nWATCHDOG=1",
        b"X_AELASTIC_PROGRESS=0.5/\nWATCHDOG=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_long_or_odd_status(supervisor: socket.socket) -> None:
    rank.status("x" * 5000)
    rank.status("\udcff")
    assert supervisor.recv(65536) == b"STATUS=" + b"x" * 1000
    assert supervisor.recv(4096) == b"STATUS=?"


def test_a_name_that_is_in_no_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"aelastic-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        rank.ready()
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/no/such/socket", "vsock:2:1234", "x" * 200, "/" + "x" * 200])
def test_where_nobody_listens_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    rank.ready()
    rank.status("x")
    rank.progress(1)
    rank.heartbeat()
    rank.stopping()
    rank.offer_stacks()


def test_a_supervisor_that_does_not_keep_up_holds_up_no_heartbeat(supervisor: socket.socket) -> None:
    for _ in range(100_000):
        rank.heartbeat()
    supervisor.setblocking(False)
    assert 0 < _heard(supervisor) < 100_000


def _heard(supervisor: socket.socket) -> int:
    """How many datagrams wait."""
    heard = 0
    with contextlib.suppress(BlockingIOError):
        while supervisor.recv(100):
            heard += 1
    return heard


def test_what_is_important_waits_for_a_supervisor_that_is_busy(supervisor: socket.socket) -> None:
    for _ in range(2000):
        rank.heartbeat()  # until the queue is full
    waiting = threading.Thread(target=rank.ready)
    waiting.start()
    waiting.join(0.1)
    while supervisor.recv(100) != b"READY=1":
        pass
    waiting.join(10)
    assert not waiting.is_alive()


def test_who_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (rank.rank(), rank.world_size(), rank.local_rank(), rank.local_world_size()) == (0, 1, 0, 1)
    monkeypatch.setenv("AELASTIC_RANK", "5")
    monkeypatch.setenv("AELASTIC_WORLD_SIZE", "8")
    assert (rank.rank(), rank.world_size()) == (5, 8)


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("2500000", 2.5), ("soon", None), ("-1", None)])
def test_how_often_to_give_a_heartbeat(text: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    assert rank.watchdog_interval() == seconds


def test_the_stacks_are_offered_once_by_each_process(supervisor: socket.socket) -> None:
    script = "from aelastic import rank; import os; rank.heartbeat(); rank.heartbeat(); print(os.getpid())"
    env = {**os.environ, "AELASTIC_RANK": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True)
    first, second = supervisor.recv(4096), supervisor.recv(4096)
    assert first.startswith(f"WATCHDOG=1\nX_AELASTIC_DUMP={done.stdout.strip()} ".encode())
    assert second == b"WATCHDOG=1"


def test_a_signal_that_is_taken_is_not_offered(supervisor: socket.socket) -> None:
    taken = "import signal; signal.signal(signal.SIGRTMAX - 2, lambda *_: None); "
    script = taken + "from aelastic import rank; rank.heartbeat()"
    env = {**os.environ, "AELASTIC_RANK": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=env, check=True)
    assert supervisor.recv(4096) == b"WATCHDOG=1"


def test_importing_it_is_cheap() -> None:
    script = "import sys; before = set(sys.modules); import aelastic.rank; print(*(set(sys.modules) - before))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True)
    heavy = {"asyncio", "logging", "socket", "signal", "dataclasses", "faulthandler", "inspect"}
    assert not set(done.stdout.split()) & heavy


@pytest.mark.parametrize("told", ["", "0", "-1", "many"])
def test_no_sockets(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", told)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert rank.sockets() == []
