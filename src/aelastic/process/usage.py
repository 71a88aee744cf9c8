"""What the ranks take of the machine. Needs psutil."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Usage:
    """``cpu`` in percent of one CPU since the last sample, ``memory`` in bytes (resident)."""

    cpu: float = 0.0
    memory: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.memory + other.memory)


class Meter:
    """Samples ranks with what they have started: each leads a session of its own."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}

    def sample(self, leaders: Iterable[int]) -> dict[int, Usage]:
        """The usage by pid of the session's leader. Blocks for some microseconds per process of the machine."""
        totals = dict.fromkeys(leaders, Usage())
        seen = {}
        for pid, leader in _sessions(totals):
            try:
                process = self._processes.get(pid) or psutil.Process(pid)
                with process.oneshot():
                    totals[leader] += Usage(process.cpu_percent(), process.memory_info().rss)
            except psutil.Error:  # it has just ended
                continue
            seen[pid] = process
        self._processes = seen
        return totals


def _sessions(leaders: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The processes in the sessions of ``leaders``, each with its leader."""
    wanted = set(leaders)
    for pid in psutil.pids():
        try:
            leader = os.getsid(pid)
        except OSError:
            continue
        if leader in wanted:
            yield pid, leader
