"""Who listens: read off the kernel's tables."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from aelastic.process.listeners import Holder, Rank, family, holder_of, listeners

_NOBODY = 65534
ADDRESSES = {
    "127.0.0.1": "0100007F",
    "10.0.0.5": "0500000A",
    "0.0.0.0": "00000000",  # noqa: S104
    "::1": "00000000000000000000000001000000",
    "::": "0" * 32,
    "::ffff:127.0.0.1": "0000000000000000FFFF00000100007F",
}


def line(address: str, port: int, inode: int, state: str = "0A") -> str:
    """As in ``/proc/net/tcp`` of a little-endian machine."""
    queues = "00000000:00000000 00:00000000 00000000"
    return f"   0: {ADDRESSES[address]}:{port:04X} 00000000:0000 {state} {queues}  0  0 {inode} 1 0 100 0 0 10 0"


TABLE = "\n".join(
    [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        line("127.0.0.1", 80, 1),
        line("10.0.0.5", 80, 2),
        line("0.0.0.0", 81, 3),  # noqa: S104
        line("127.0.0.1", 82, 4, state="01"),
        line("::1", 83, 5),
        line("::", 84, 6),
        line("::ffff:127.0.0.1", 85, 7),
        line("127.0.0.1", 86, 8),
        line("0.0.0.0", 86, 9),  # noqa: S104
        line("127.0.0.1", 86, 10),
        "garbage",
    ]
)


@pytest.mark.skipif(sys.byteorder == "big", reason="the table is of a little-endian machine")
@pytest.mark.parametrize(
    ("host", "port", "inodes"),
    [
        ("127.0.0.1", 80, {"1"}),
        ("10.0.0.5", 80, {"2"}),
        ("127.0.0.2", 80, set()),
        ("127.0.0.1", 81, {"3"}),
        ("127.0.0.1", 82, set()),
        ("::1", 83, {"5"}),
        ("::1%lo", 83, {"5"}),
        ("127.0.0.1", 83, set()),
        ("::1", 84, {"6"}),
        ("127.0.0.1", 84, {"6"}),
        ("::1", 81, set()),
        ("127.0.0.1", 85, {"7"}),
        ("127.0.0.1", 86, {"8", "10"}),
        ("127.0.0.1", 87, set()),
    ],
)
def test_who_takes_connections_at_an_address(host: str, port: int, inodes: set[str]) -> None:
    assert listeners(TABLE, host, port) == inodes


def test_the_family_is_the_session_and_all_descendants() -> None:
    processes = [
        (1, 0, 1),
        (10, 1, 10),
        (11, 10, 10),
        (12, 1, 10),
        (13, 11, 13),
        (14, 13, 14),
        (20, 1, 20),
        (21, 20, 20),
    ]
    assert family(10, processes) == [10, 11, 12, 13, 14]
    assert family(99, processes) == [99]


def test_this_process_holds_its_own_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        assert holder_of(Rank(os.getpid()), host, port) is Holder.RANK
        assert holder_of(Rank(2**22 + 1), host, port) is Holder.OTHER
    assert holder_of(Rank(os.getpid()), host, port) is Holder.OTHER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_rank_that_has_ended_holds_nothing_even_if_it_does_not_let_us_look() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, subprocess.Popen(["sleep", "60"], user=_NOBODY) as rank:
        host, port = other.getsockname()
        os.seteuid(_NOBODY)
        try:
            assert holder_of(Rank(rank.pid), host, port) is Holder.OTHER
            rank.kill()
            os.waitid(os.P_PID, rank.pid, os.WEXITED | os.WNOWAIT)
            assert holder_of(Rank(rank.pid), host, port) is Holder.OTHER
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_rank_of_another_user_does_not_let_us_look() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, subprocess.Popen(["sleep", "60"]) as rank:
        host, port = other.getsockname()
        os.seteuid(_NOBODY)
        try:
            assert holder_of(Rank(rank.pid), host, port) is Holder.UNKNOWN
        finally:
            os.seteuid(0)
            rank.kill()
