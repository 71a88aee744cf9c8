"""Ranks that wait until they are let through, all at once."""

from __future__ import annotations

import fcntl
import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Gate:
    """A lock that ranks ask for. Shut until it is opened."""

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / "gate")
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.set_inheritable(self._file, False)

    def then(self, command: str) -> tuple[str, str]:
        """Arguments of ``sh``: wait at the gate, then do ``command``."""
        return "-c", f"exec 9< {shlex.quote(self._path)}; flock -s 9; {command}"

    def open(self) -> None:
        """Let everybody through."""
        os.close(self._file)
