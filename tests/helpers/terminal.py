"""A command on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import Self

PATIENCE = 30.0


class Terminal:
    """Runs ``python -m aelastic`` with ``args`` as the foreground process of a new pseudo-terminal."""

    def __init__(self, *args: str) -> None:
        self._master, slave = pty.openpty()
        self.output = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "aelastic", *args], stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def press_ctrl_c(self) -> None:
        """What the interrupt key does."""
        os.write(self._master, b"\x03")

    def wait_for(self, text: bytes, count: int = 1) -> None:
        """Read until ``text`` has been shown ``count`` times."""
        deadline = time.monotonic() + PATIENCE
        while self.output.count(text) < count:
            assert time.monotonic() < deadline, f"no {text!r} in {self.output!r}"
            if not self._read():
                raise AssertionError(f"ended without {text!r}: {self.output!r}")

    def wait(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        assert ready, f"nothing more after {self.output!r}"
        try:
            block = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.output += block
        return bool(block)
