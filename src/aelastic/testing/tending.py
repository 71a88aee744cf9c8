"""What tests have in common that start ranks, in whatever loop these live."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aelastic.logs.specs import DefaultLogsSpecs
from aelastic.process.ports import Ports
from aelastic.std import Std
from aelastic.testing.report import Reported, describe, leftovers

if TYPE_CHECKING:
    from collections.abc import Mapping

SHUTDOWN_TIMEOUT = 5.0
READY_TIMEOUT = 60.0

_R = TypeVar("_R", bound=Reported)


class Tending(Generic[_R]):
    """Who has been started, and the ports that are held for them."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = os.fspath(directory)
        self._tended: list[_R] = []
        self._ports = Ports()

    def port(self) -> int:
        """The number of a TCP port that nobody else is given until the end.

        It is held by a socket that is bound and does not listen. A rank can bind it, and again after a restart, if it
        sets SO_REUSEADDR as servers do; one that does not is refused (EADDRINUSE), always rather than now and then.
        """
        return self._ports.hold()

    def report(self) -> str:
        """Every rank with its last lines, and the failures with their tracebacks."""
        return "\n\n".join(map(describe, self._tended))

    def _with_defaults(
        self, name: str, args: Mapping[int, Any], envs: Mapping[int, Any] | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments, and what is different in tests."""
        given = {"shutdown_timeout": SHUTDOWN_TIMEOUT, **options}
        if given.get("logs_specs") is None:
            given["logs_specs"] = DefaultLogsSpecs(os.path.join(self._directory, name), redirects=Std.ALL)
        if given.get("readiness") is not None:
            given.setdefault("ready_timeout", READY_TIMEOUT)
        return {"name": name, "args": args, "envs": {rank: {} for rank in args} if envs is None else envs, **given}

    def _leftovers(self) -> list[str]:
        return [text for one in self._tended for text in leftovers(one)]
