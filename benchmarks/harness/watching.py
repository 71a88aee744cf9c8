"""What can be seen of a process in ``/proc``."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process has: descriptors, threads, resident memory in bytes."""

    descriptors: int
    threads: int
    memory: int

    @classmethod
    def now(cls) -> Holdings:
        """Of this process."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        memory = int(status["VmRSS"].split()[0]) * 1024
        return cls(len(os.listdir("/proc/self/fd")) - 1, int(status["Threads"]), memory)


def wakeups(pid: int) -> int:
    """How often threads of ``pid`` have gone to sleep of their own will: each time something had woken them."""
    return sum(_switches(Path(task, "status")) for task in Path(f"/proc/{pid}/task").iterdir())


def _switches(status: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pid: int) -> float:
    """Of ``pid``, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def children(pid: int) -> list[int]:
    """Processes that ``pid`` has started itself."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(one) for one in Path(task, "children").read_text().split()]
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until_they_run(pids: list[int], program: str, patience: float = 30.0) -> None:
    """Until every one of ``pids`` has become ``program``. Looks in a thread."""
    async with asyncio.timeout(patience):
        while not await asyncio.to_thread(_all_run, pids, program):  # noqa: ASYNC110 - nobody tells of an exec
            await asyncio.sleep(0.02)


def _all_run(pids: list[int], program: str) -> bool:
    return all(Path(f"/proc/{pid}/comm").read_text().strip() == program for pid in pids)
