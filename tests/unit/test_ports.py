"""Ports that are held for a program: nobody is given them, and the program can bind them."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import pytest

from aelastic.process.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Iterator

_IP_LOCAL_PORT_RANGE = 51  # Linux 6.3: the only free ports that the kernel may give to this socket
_ADDRESSES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, ""), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")]
_OPTIONS = list(itertools.product((False, True), repeat=2))

addresses = pytest.mark.parametrize(("family", "address"), _ADDRESSES, ids=lambda one: str(one))


@pytest.fixture
def ports() -> Iterator[Ports]:
    made = Ports()
    yield made
    made.close()


def made(family: int, *, reuse_address: bool, reuse_port: bool) -> socket.socket:
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    one = socket.socket(family)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse_address)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    return one


def limited_to(port: int, one: socket.socket) -> None:
    try:
        one.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, (port | port << 16).to_bytes(4, "little"))
    except OSError:
        one.close()
        pytest.skip("this kernel cannot be asked for one of few free ports")


@addresses
def test_nobody_who_wants_any_port_is_given_it(ports: Ports, family: int, address: str) -> None:
    """Also where it is the only one left."""
    port = ports.hold()
    for reuse_address, reuse_port in _OPTIONS:
        one = made(family, reuse_address=reuse_address, reuse_port=reuse_port)
        limited_to(port, one)
        with one, pytest.raises(OSError, match="in use"):
            one.bind((address, 0))


def test_nobody_who_connects_is_given_it(ports: Ports) -> None:
    port = ports.hold()
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        limited_to(port, client)
        with pytest.raises(OSError, match="address"):
            client.connect(server.getsockname())


@addresses
@pytest.mark.parametrize(("reuse_address", "reuse_port"), _OPTIONS[1:])
def test_a_server_can_bind_it_again_and_again(
    ports: Ports, family: int, address: str, reuse_address: bool, reuse_port: bool
) -> None:
    port = ports.hold()
    for _ in range(3):
        with made(family, reuse_address=reuse_address, reuse_port=reuse_port) as server:
            server.bind((address, port))
            server.listen()
            with socket.create_connection(("::1" if family == socket.AF_INET6 else "127.0.0.1", port), 5):
                server.accept()[0].close()


@addresses
def test_a_program_that_does_not_reuse_addresses_is_always_refused(ports: Ports, family: int, address: str) -> None:
    with made(family, reuse_address=False, reuse_port=False) as server, pytest.raises(OSError, match="in use"):
        server.bind((address, ports.hold()))


def test_all_are_different_and_let_go_at_the_end(ports: Ports) -> None:
    held = [ports.hold() for _ in range(50)]
    assert len(set(held)) == 50
    ports.close()
    with made(socket.AF_INET, reuse_address=False, reuse_port=False) as server:
        server.bind(("127.0.0.1", held[0]))
