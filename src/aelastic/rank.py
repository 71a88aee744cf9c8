"""For Python ranks: tell the supervisor how it goes. Cheap to import, and nothing happens where nobody listens.

What is told goes to ``NOTIFY_SOCKET`` as systemd's datagrams, so a rank speaks to systemd in the same way. A
supervisor that is gone, or that does not keep up, never makes a rank fail. Any thread may call; a forked child speaks
for its rank.

The first call lets the supervisor ask for the stacks of all threads, on stderr, in case the rank hangs.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_FIRST_SOCKET = 3  # systemd's SD_LISTEN_FDS_START
_LONGEST_STATUS = 1000
_PATIENCE = 10.0  # seconds that something important waits for a supervisor that is busy
_offered_by = 0  # the pid, as a fork has its own


def ready() -> None:
    """This rank is ready: started up, connected, able to serve. A watchdog begins to count now."""
    _tell("READY=1", wait=True)


def status(text: str) -> None:
    """Say what this rank is doing, for people: one line, of which a thousand characters are kept."""
    _tell("STATUS=" + " ".join(text.split())[:_LONGEST_STATUS])


def progress(done: float, total: float | None = None) -> None:
    """``done`` of ``total`` steps (None: nobody knows how many) are behind us. A heartbeat, too."""
    _tell(f"X_AELASTIC_PROGRESS={float(done)!r}/{'' if total is None else repr(float(total))}", "WATCHDOG=1")


def heartbeat() -> None:
    """This rank is alive. With a watchdog it must say so more often than every ``watchdog_interval()`` seconds."""
    _tell("WATCHDOG=1")


def stopping() -> None:
    """This rank is about to end by itself: it is not ready any more, and no heartbeat is expected."""
    _tell("STOPPING=1", wait=True)


def watchdog_interval() -> float | None:
    """Seconds between two heartbeats at most; None when nobody counts."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else None


def rank() -> int:
    """The global rank: the ``RANK`` that the rank was given, else its local rank; 0 outside a rank."""
    return int(os.environ.get("AELASTIC_RANK", "0"))


def world_size() -> int:
    """How many ranks there are: the ``WORLD_SIZE`` that the rank was given, else those of its run; 1 outside a rank."""
    return int(os.environ.get("AELASTIC_WORLD_SIZE", "1"))


def local_rank() -> int:
    """The rank within its run; 0 outside a rank."""
    return int(os.environ.get("AELASTIC_LOCAL_RANK", "0"))


def local_world_size() -> int:
    """How many ranks the run has; 1 outside a rank."""
    return int(os.environ.get("AELASTIC_LOCAL_WORLD_SIZE", "1"))


def sockets() -> list[socket.socket]:
    """The listening sockets that this rank shares with others (``sockets=``), in their order: systemd's ``LISTEN_FDS``.

    New ones in each call, to be closed by the caller; what the rank starts inherits none. Empty where there are none.
    """
    told = os.environ.get("LISTEN_FDS", "") if os.environ.get("LISTEN_PID") == str(os.getpid()) else ""
    if not told.isdecimal():
        return []
    import socket

    numbers = range(_FIRST_SOCKET, _FIRST_SOCKET + int(told))
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=os.dup(number)) for number in numbers]


def offer_stacks() -> None:
    """Let the supervisor ask for the stacks of all threads, on stderr. The first call of any other function does it."""
    _tell()


def _tell(*fields: str, wait: bool = False) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        fields += _offer()
        if fields:
            _send(address, "\n".join(fields).encode("utf-8", "replace"), wait=wait)


def _send(address: str, datagram: bytes, *, wait: bool) -> None:
    import socket

    if address.startswith("@"):
        address = "\0" + address[1:]  # a name that is in no file system
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.settimeout(_PATIENCE if wait else 0)
            speaker.connect(address)
            speaker.send(datagram)
    except OSError:  # nobody is there, or nobody keeps up
        return


def _offer() -> tuple[str, ...]:
    """Have a signal print the stacks of all threads, once; the field that tells aelastic which."""
    global _offered_by
    if _offered_by == os.getpid() or "AELASTIC_RANK" not in os.environ:
        return ()
    _offered_by = os.getpid()
    import faulthandler
    import signal

    try:
        number = signal.SIGRTMAX - 2  # no program's own, as a rule
        if signal.getsignal(number) is not signal.SIG_DFL:
            return ()
        faulthandler.register(number, file=2, all_threads=True)
    except (AttributeError, OSError, ValueError, RuntimeError):  # stderr is closed, or there is no such thing here
        return ()
    return (f"X_AELASTIC_DUMP={os.getpid()} {number}",)
