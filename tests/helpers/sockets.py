"""Listening sockets for tests."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def listening() -> socket.socket:
    """On a free port of this machine."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


@contextlib.contextmanager
def several(count: int) -> Iterator[list[socket.socket]]:
    """Some of them, closed in the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(listening()) for _ in range(count)]


def port_of(one: socket.socket) -> int:
    """Where it listens."""
    port: int = one.getsockname()[1]
    return port
