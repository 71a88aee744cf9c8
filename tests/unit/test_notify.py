"""The sockets that ranks speak to."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest

from aelastic.process.notify import NotifySockets, open_sockets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A temporary directory with a short name."""
    with tempfile.TemporaryDirectory(prefix="t-") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield path


def speak(path: str, *datagrams: bytes) -> None:
    """As a rank does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        for datagram in datagrams:
            speaker.sendto(datagram, path)


def test_each_rank_is_heard_apart(directory: str) -> None:
    sockets = NotifySockets([0, 3])
    speak(sockets.by_rank[0].path, b"one", b"two", b"three")
    speak(sockets.by_rank[3].path, b"four")
    assert sockets.by_rank[0].receive(2) == [b"one", b"two"]
    assert sockets.by_rank[0].receive(2) == [b"three"]
    assert sockets.by_rank[3].receive(2) == [b"four"]
    assert sockets.by_rank[3].receive(2) == []
    sockets.close()


def test_descriptors_that_come_along_are_closed(directory: str) -> None:
    """``systemd-notify`` waits for that."""
    sockets = NotifySockets([0])
    read_end, write_end = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.connect(sockets.by_rank[0].path)
        socket.send_fds(speaker, [b"BARRIER=1"], [write_end])
    os.close(write_end)
    assert sockets.by_rank[0].receive(2) == [b"BARRIER=1"]
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    sockets.close()


def test_they_go_with_their_directory(directory: str) -> None:
    sockets = NotifySockets([0, 1])
    assert len(open_sockets()) == 2
    sockets.close()
    sockets.close()
    assert sockets.by_rank[0].receive(1) == []
    assert open_sockets() == []
    assert os.listdir(directory) == []


def test_they_go_when_they_are_dropped(directory: str) -> None:
    NotifySockets([0])
    assert os.listdir(directory) == []


def test_without_a_descriptor_nothing_stays(directory: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            NotifySockets(range(5))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir(directory) == []


def test_where_somebody_has_cleaned_up_closing_is_no_error(directory: str) -> None:
    sockets = NotifySockets([0, 1])
    os.unlink(sockets.by_rank[0].path)
    sockets.close()
    assert open_sockets() == []
    assert os.listdir(directory) == []


def test_a_long_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 25)))
    sockets = NotifySockets([123456])
    assert sockets.by_rank[123456].path.startswith("/tmp/aelastic-notify-")
    sockets.close()
