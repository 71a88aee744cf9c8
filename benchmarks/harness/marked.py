"""Processes that were started by a trial, found by a mark in their environment, wherever they have gone to."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def end_marked(mark: str, patience: float = 10.0) -> int:
    """Kill every process with ``mark`` (``NAME=value``) in its environment; how many there were at first."""
    deadline = time.monotonic() + patience
    found = first = marked(mark)
    while found and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        found = marked(mark)
    return len(first)


def marked(mark: str) -> list[int]:
    """Whoever has ``mark``."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and mark.encode() in _environment(pid).split(b"\0")]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
