"""``os.posix_spawn`` and ``os.waitpid`` in a loop: the floor. It knows nothing but exit codes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.job import BlockingGang, CannotError

if TYPE_CHECKING:
    from benchmarks.contenders.job import Job

_TO_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class SpawnGang(BlockingGang):
    """A ``Gang`` of the kernel's."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._pids: list[int] = []
        self._codes: dict[int, int] = {}

    def start_now(self) -> None:
        """Start every rank."""
        program = self.job.program
        os.makedirs(self.job.directory, exist_ok=True)
        for rank, args in enumerate(self.job.args):
            pid = os.posix_spawnp(program, (program, *args), os.environ, file_actions=self._streams(rank), setpgroup=0)
            self._pids.append(pid)

    def pids(self) -> list[int]:
        """By rank."""
        return self._pids

    def wait_now(self) -> list[int]:
        """Exit codes by rank."""
        stopped = False
        while len(self._codes) < len(self._pids):
            pid, status = os.waitpid(-1, 0)
            self._codes[pid] = os.waitstatus_to_exitcode(status)
            if self._codes[pid] and not stopped:
                stopped = True
                self._signal(signal.SIGTERM)
        return [self._codes[pid] for pid in self._pids]

    def close_now(self) -> None:
        """Stop what still runs. There is no wait with a time limit: one pidfd would be needed for each."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self.job.grace
        while self._living() and time.monotonic() < deadline:
            time.sleep(0.001)
        self._signal(signal.SIGKILL)
        self.wait_now()

    def _living(self) -> list[int]:
        with contextlib.suppress(ChildProcessError):
            while found := os.waitpid(-1, os.WNOHANG)[:2]:
                if found[0] == 0:
                    break
                self._codes[found[0]] = os.waitstatus_to_exitcode(found[1])
        return [pid for pid in self._pids if pid not in self._codes]

    def _signal(self, sig: int) -> None:
        for pid in self._pids:
            if pid not in self._codes:
                os.killpg(pid, sig)

    def _streams(self, rank: int) -> list[Any]:
        if self.job.capture == "none":
            return []
        names = {1: "stdout", 2: "stderr"}
        paths = {fd: os.path.join(self.job.directory, f"{rank}_{name}.log") for fd, name in names.items()}
        return [(os.POSIX_SPAWN_OPEN, fd, path, _TO_FILE, 0o600) for fd, path in paths.items()]


def gang(job: Job) -> SpawnGang:
    """See ``benchmarks.contenders``."""
    if job.capture in ("tee", "filter"):
        raise CannotError("shows no lines")
    return SpawnGang(job)
