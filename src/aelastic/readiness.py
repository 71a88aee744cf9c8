"""How a rank shows that it is ready. One of these words is the ``readiness`` of ``start_processes``."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, TypeAlias

from aelastic.errors.base import InvalidArgumentError
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Sequence

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?(?P<target>[/?][!-~]*)?"
)


@dataclass(frozen=True, slots=True)
class Notify:
    """The rank says so itself, by systemd's protocol: ``READY=1`` to ``NOTIFY_SOCKET``.

    In Python that is ``aelastic.rank.ready()``, in a shell ``systemd-notify --ready``; many servers do it unasked.
    """


@dataclass(frozen=True, slots=True)
class LogProbe:
    """The rank is ready when a line of its captured output contains a match of ``pattern``.

    Args:
        pattern: a regular expression, as text or compiled.
        stream: where to look.

    Raises ``InvalidArgumentError``; the start does so when the stream is not captured.
    """

    pattern: str | re.Pattern[str]
    stream: Std = Std.ALL

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise InvalidArgumentError(
                f"LogProbe.pattern: {self.pattern!r} is no regular expression: {error}"
            ) from error
        if not isinstance(compiled.pattern, str):
            raise InvalidArgumentError(f"LogProbe.pattern: expected one for text, got {self.pattern!r}")
        if not self.stream:
            raise InvalidArgumentError("LogProbe.stream: expected Std.OUT, Std.ERR or Std.ALL, got Std.NONE")


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """The rank is ready when it takes connections at ``host``:``port``.

    Args:
        owned: the listener must be held by a process of the rank (of its session, a descendant, a daemon with its
            mark), so that another program that already has the port is not mistaken for it. Looked up in ``/proc``;
            where that cannot tell, a connection is enough. False for a listener elsewhere, as behind a container's
            port forwarding.
        interval: the longest pause between two tries, in seconds; the first come faster, from 0.05 s on.
        timeout: what one try may take, in seconds.

    Raises ``InvalidArgumentError``.
    """

    port: int
    host: str = "127.0.0.1"
    _: KW_ONLY
    owned: bool = True
    interval: float = 1.0
    timeout: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise InvalidArgumentError(f"TcpProbe.port: expected 1 to 65535, got {self.port!r}")
        if not isinstance(self.host, str) or not self.host:
            raise InvalidArgumentError(f"TcpProbe.host: expected a name or an address, got {self.host!r}")
        _check_times("TcpProbe", self.interval, self.timeout)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """The rank is ready when a GET of ``url`` is answered with a status of 200 to 399. Needs ``aelastic[http]``.

    Args:
        owned, interval, timeout: as for ``TcpProbe``.
        verify: check the certificate of an ``https`` URL.

    Raises ``InvalidArgumentError``.
    """

    url: str
    _: KW_ONLY
    owned: bool = True
    verify: bool = True
    interval: float = 1.0
    timeout: float = 1.0

    def __post_init__(self) -> None:
        split_url(self.url)
        _check_times("HttpProbe", self.interval, self.timeout)


@dataclass(frozen=True, slots=True)
class ExecProbe:
    """The rank is ready when the program ``argv``, run in the rank's environment, exits with 0.

    It is a session of its own with no input and no output; after ``timeout`` seconds it is killed with its group.

    Args:
        interval, timeout: as for ``TcpProbe``.

    Raises ``InvalidArgumentError``.
    """

    argv: Sequence[str]
    _: KW_ONLY
    interval: float = 1.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if isinstance(self.argv, str | bytes) or not self.argv or not all(isinstance(arg, str) for arg in self.argv):
            raise InvalidArgumentError(f"ExecProbe.argv: expected a program and its arguments, got {self.argv!r}")
        object.__setattr__(self, "argv", tuple(self.argv))
        _check_times("ExecProbe", self.interval, self.timeout)


Readiness: TypeAlias = Notify | LogProbe | TcpProbe | HttpProbe | ExecProbe


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of a URL that a request needs. ``authority`` is what the ``Host`` header says."""

    secure: bool
    host: str
    port: int
    authority: str
    target: str


def split_url(url: str) -> Url:
    """Take an ``http`` or ``https`` URL apart. Raises ``InvalidArgumentError``."""
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or not 0 < int(match["port"] or 80) < 65536:
        raise InvalidArgumentError(f"HttpProbe.url: expected something like http://127.0.0.1:8000/health, got {url!r}")
    secure = match["scheme"] == "https"
    port = int(match["port"] or (443 if secure else 80))
    target = (match["target"] or "/").partition("#")[0]
    authority = match["host"] + (f":{match['port']}" if match["port"] else "")
    return Url(secure, match["host"].strip("[]"), port, authority, target if target.startswith("/") else f"/{target}")


def _check_times(probe: str, interval: float, timeout: float) -> None:
    for what, seconds in (("interval", interval), ("timeout", timeout)):
        if not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
            raise InvalidArgumentError(f"{probe}.{what}: expected seconds, more than 0, got {seconds!r}")
