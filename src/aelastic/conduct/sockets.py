"""Listening sockets that all ranks share: systemd's convention, ``LISTEN_FDS`` and the descriptors from 3 on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aelastic.errors.base import InvalidArgumentError
from aelastic.process.stage import FIRST_SOCKET

Sockets: TypeAlias = Mapping[str, socket.socket] | Sequence[socket.socket]

VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
_LONGEST_NAME = 255  # systemd's


@dataclass(frozen=True, slots=True)
class SharedSockets:
    """``sockets`` stay their owner's, who keeps them open. ``names``: one for each, or none."""

    sockets: tuple[socket.socket, ...] = ()
    names: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """What a rank is told of them; ``LISTEN_PID`` is not known before it is there."""
        told = {"LISTEN_FDS": str(len(self.sockets))} if self.sockets else {}
        return told | ({"LISTEN_FDNAMES": ":".join(self.names)} if self.names else {})

    def descriptors(self) -> tuple[int, ...]:
        """Their numbers here. Raises ``OSError`` when one is closed."""
        numbers = tuple(one.fileno() for one in self.sockets)
        if -1 in numbers:
            raise OSError(errno.EBADF, f"sockets[{numbers.index(-1)}] is closed; keep it open as long as ranks start")
        return numbers


def shared_sockets(sockets: Sockets, *, program: bool) -> SharedSockets:
    """``sockets`` by name, or in order, for ranks that run a ``program``. Raises ``InvalidArgumentError``."""
    if isinstance(sockets, socket.socket | str) or not isinstance(sockets, Mapping | Sequence):
        raise InvalidArgumentError(f"sockets: expected a list of sockets, or sockets by name, got {sockets!r}")
    names = tuple(sockets) if isinstance(sockets, Mapping) else ()
    for name in names:
        _check_name(name)
    if sockets and not program:
        raise InvalidArgumentError("sockets: only a program has them as its descriptors 3, 4, ...; a function has not")
    found = tuple(sockets.values()) if isinstance(sockets, Mapping) else tuple(sockets)
    for index, one in enumerate(found):
        if not isinstance(one, socket.socket) or one.fileno() < FIRST_SOCKET:
            raise InvalidArgumentError(f"sockets[{index}]: expected an open socket.socket, got {one!r}")
        if one in found[:index]:
            raise InvalidArgumentError(f"sockets[{index}]: the same socket twice; give a rank its dup()")
    return SharedSockets(found, names)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not (name.isascii() and name.isprintable()) or ":" in name:
        raise InvalidArgumentError(f"sockets: a name is printable ASCII without a colon, not {name!r}")
    if not 0 < len(name) <= _LONGEST_NAME:
        raise InvalidArgumentError(f"sockets: a name has 1 to {_LONGEST_NAME} characters, not {len(name)}")
