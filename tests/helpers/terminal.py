"""A command on a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0


class Terminal:
    """Runs ``python -m aelastic`` with ``args`` as the foreground process of a new pseudo-terminal.

    A ``dumb`` one cannot show more than lines. What another one shows is in ``display``, line by line, and what has
    left it at the top in ``history``.
    """

    def __init__(self, *args: str, term: str = "dumb", lines: int = 24, columns: int = 80) -> None:
        self._start([sys.executable, "-m", "aelastic", *args], term, lines, columns)

    @classmethod
    def of_command(cls, *command: str, term: str) -> Self:
        """Runs ``command`` in place of ``python -m aelastic``."""
        made = cls.__new__(cls)
        made._start([*command], term, 24, 80)
        return made

    def _start(self, command: list[str], term: str, lines: int, columns: int) -> None:
        self._master, slave = pty.openpty()
        self.resize(lines, columns)
        self._is_clever = term != "dumb"
        self._screen = pyte.HistoryScreen(columns, lines, history=100_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self.output = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": term},
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    @property
    def display(self) -> list[str]:
        """What is on the screen now, without what is blank."""
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def history(self) -> list[str]:
        """All lines that have scrolled out at the top."""
        lines = self._screen.history.top
        return ["".join(line[column].data for column in range(self._screen.columns)).rstrip() for line in lines]

    def resize(self, lines: int, columns: int) -> None:
        """What the window does when its edge is drawn."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """What the window does when it is closed."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def press(self, keys: bytes) -> None:
        """Type ``keys``."""
        os.write(self._master, keys)

    def press_ctrl_c(self) -> None:
        """What the interrupt key does."""
        self.press(b"\x03")

    def wait_for(self, text: bytes, count: int = 1) -> None:
        """Read until ``text`` has been shown ``count`` times."""
        self.wait_until(lambda: self.output.count(text) >= count, f"{text!r} {count} times")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Read until ``condition`` holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not {what}: {self.output!r}"
            if not self._read():
                raise AssertionError(f"ended, and not {what}: {self.output!r}")

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
        if self._is_clever:
            self._stream.feed(block)
        return bool(block)
