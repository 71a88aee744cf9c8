"""Lets ranks end at a known moment: a process of its own, so that a busy supervisor does not falsify the time.

A rank reads from a FIFO; the releaser closes the other end and notes when. CLOCK_MONOTONIC is the same for all
processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT = """
import os, sys, time
for line in sys.stdin:
    fifo, delay = line.split()
    end = os.open(fifo, os.O_WRONLY)
    time.sleep(float(delay))
    now = time.monotonic()
    os.close(end)
    print(now, flush=True)
"""


class Releaser:
    """A process that opens a FIFO, waits, and closes it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fifo(self) -> str:
        """A new one, for one rank to read from."""
        self._count += 1
        path = str(self._directory / f"fifo{self._count}")
        os.mkfifo(path)
        return path

    def release(self, fifo: str, delay: float) -> None:
        """Give its reader the end of the file ``delay`` seconds after it has opened it. Does not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{fifo} {delay}\n")
        self._process.stdin.flush()

    def released_at(self) -> float:
        """When that was, by ``time.monotonic``."""
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
