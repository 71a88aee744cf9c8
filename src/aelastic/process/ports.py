"""Free TCP ports for programs that want a number."""

from __future__ import annotations

import contextlib
import socket


class Ports:
    """Port numbers that nobody else is given until ``close``.

    Each is held by a socket that is bound and does not listen, on all addresses. So the kernel gives the number to
    nobody who asks for any free one, to listen or to connect. A program may bind and listen there, and again after a
    restart, if it sets SO_REUSEADDR (or SO_REUSEPORT, as the same user), as servers do on POSIX systems; one that sets
    neither gets EADDRINUSE, always. What is left is a program that asks for this very number, with SO_REUSEADDR.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def hold(self) -> int:
        """A number. Raises ``OSError`` when there is none."""
        holder = _dual_stack() or socket.socket()
        self._sockets.append(holder)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind(("", 0))
        port: int = holder.getsockname()[1]
        return port

    def close(self) -> None:
        """Let them go."""
        while self._sockets:
            self._sockets.pop().close()


def _dual_stack() -> socket.socket | None:
    """A socket for IPv4 and IPv6 at once, where there is IPv6."""
    if not socket.has_dualstack_ipv6():
        return None
    holder = socket.socket(socket.AF_INET6)
    with contextlib.suppress(OSError):
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return holder
