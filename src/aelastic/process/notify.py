"""Where ranks tell of themselves: one datagram socket per rank, as systemd's ``NOTIFY_SOCKET``.

A socket of its own says which rank speaks, whoever of its family does, and however soon that one ends. (A common socket
would have to ask the kernel for the sender's pid and that process for its session; ``systemd-notify`` is gone by then.)
They lie in a directory that only this user can enter: names without a file would be open to every user, and unknown in
another network namespace.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import weakref
from typing import TYPE_CHECKING

from aelastic.decide.notices import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_PATH = 107  # bytes, with the NUL 108: what the kernel takes
_LONGEST_NAME = 32  # "/aelastic-notify-12345678/123456"

_open: weakref.WeakSet[NotifySocket] = weakref.WeakSet()


def open_sockets() -> list[int]:
    """The descriptors of every socket of this process: what a fork must close."""
    return [one.descriptor for one in _open if one.descriptor >= 0]


class NotifySocket:
    """The receiving end of one rank's notices, bound to ``path``. Raises ``OSError``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(path)
        except OSError:
            self._socket.close()
            raise
        _open.add(self)

    @property
    def descriptor(self) -> int:
        """For watching; -1 when closed."""
        return self._socket.fileno()

    def receive(self, most: int) -> list[bytes]:
        """What is there, at most ``most`` datagrams. Descriptors that come along are closed by the kernel.

        That is also what ``systemd-notify`` waits for, to know that it was heard.
        """
        datagrams: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while self.descriptor >= 0 and len(datagrams) < most:
                datagrams.append(self._socket.recv(LARGEST + 1))
        return datagrams

    def close(self) -> None:
        """Hear no more. Can be called again."""
        self._socket.close()


class NotifySockets:
    """The sockets of ``ranks``, in a private directory that goes with them. Raises ``OSError``. For a thread."""

    def __init__(self, ranks: Iterable[int]) -> None:
        directory = tempfile.mkdtemp(prefix="aelastic-notify-", dir=_short_directory())
        self.by_rank: dict[int, NotifySocket] = {}
        self._close = weakref.finalize(self, _close, self.by_rank, directory, os.getpid())
        try:
            for rank in ranks:
                self.by_rank[rank] = NotifySocket(os.path.join(directory, str(rank)))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close what is open and remove the directory. Can be called again; is, at the latest, as the program ends."""
        self._close()


def _short_directory() -> str:
    """Where temporary files go, if the paths of sockets there are short enough for the kernel."""
    directory = tempfile.gettempdir()
    return directory if len(os.fsencode(directory)) + _LONGEST_NAME <= _LONGEST_PATH else "/tmp"  # noqa: S108


def _close(by_rank: dict[int, NotifySocket], directory: str, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork that ends as an interpreter does
        for one in by_rank.values():
            one.close()
            with contextlib.suppress(OSError):  # somebody else has been here
                os.unlink(one.path)
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # rmtree would need a descriptor, and there may be none
