"""Who listens on a TCP port: whether it is a process of the rank. Read from ``/proc``, so only Linux knows."""

from __future__ import annotations

import errno
import ipaddress
import os
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from aelastic.process.marker import carriers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTENING = "0A"
_ENDED = "Z"
_WORD = 8  # hexadecimal digits; the kernel prints an address as words in its own byte order


class Holder(Enum):
    """Who holds the listener."""

    RANK = "rank"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rank:
    """Whose listener is looked for: the pid of the leader, and the mark that its environment carries, if it does."""

    leader: int
    mark: str = ""


def holder_of(rank: Rank, host: str, port: int) -> Holder:
    """Whether a process of ``rank`` listens at the address: of its session, a descendant, or one with its mark. Blocks.

    UNKNOWN where there is no ``/proc``, or where the rank's processes are another user's and do not let us look. A rank
    that has ended holds nothing. Raises ``OSError`` when no descriptor is left to look with.
    """
    if not os.path.exists("/proc/self/net/tcp"):
        return Holder.UNKNOWN
    tables = (_read(f"/proc/{rank.leader}/net/{table}") for table in ("tcp", "tcp6"))
    inodes = listeners("\n".join(tables), host, port)
    answer = _answer(inodes, family(rank.leader, _processes()))
    if answer is Holder.OTHER and rank.mark:
        return _answer(inodes, carriers(rank.mark))  # a daemon: nobody's child, in a session of its own
    return answer


def _answer(inodes: set[str], pids: Iterable[int]) -> Holder:
    """Whether one of ``pids`` holds one of the sockets ``inodes``."""
    hidden = False
    for pid in pids:
        try:
            if inodes & set(_sockets(pid)):
                return Holder.RANK
        except PermissionError:
            hidden = hidden or _runs(pid)  # what is left of an ended process is root's
        except OSError:
            continue  # it has just ended
    return Holder.UNKNOWN if hidden else Holder.OTHER


def listeners(table: str, host: str, port: int) -> set[str]:
    """The inodes of the sockets in ``table``, lines of ``/proc/net/tcp``, that take connections to the address.

    A socket bound to the very address comes before one that is bound to all.
    """
    wanted, exact, general = _plain(ipaddress.ip_address(host.partition("%")[0])), set(), set()
    for fields in (line.split() for line in table.splitlines()):
        if len(fields) < 10 or fields[3] != _LISTENING:
            continue
        address, _, number = fields[1].rpartition(":")
        if int(number, 16) != port:
            continue
        bound = _plain(ipaddress.ip_address(_bytes(address)))
        if bound == wanted:
            exact.add(fields[9])
        elif bound.is_unspecified and bound.version >= wanted.version:
            general.add(fields[9])
    return exact or general


def family(leader: int, processes: Iterable[tuple[int, int, int]]) -> list[int]:
    """The pids of the session of ``leader`` and of all descendants; ``processes`` are (pid, parent, session)."""
    known = list(processes)
    members = {leader} | {pid for pid, _, session in known if session == leader}
    while more := {pid for pid, parent, _ in known if parent in members} - members:
        members |= more
    return sorted(members)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address


def _bytes(address: str) -> bytes:
    words = (address[at : at + _WORD] for at in range(0, len(address), _WORD))
    return b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)


def _processes() -> Iterator[tuple[int, int, int]]:
    """Pid, parent and session of every process that runs."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))) and fields[0] != _ENDED:
            yield int(name), int(fields[1]), int(fields[3])


def _runs(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != _ENDED


def _stat(pid: int) -> list[str]:
    """State, parent, group, session and more; empty when there is no such process."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of the sockets that the process has open."""
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            target = _target(entry.path)
            if target.startswith("socket:["):
                yield target[8:-1]


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:  # it has just been closed
        return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return ""
