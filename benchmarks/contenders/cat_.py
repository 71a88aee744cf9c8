"""For each rank, ``cat > file`` at the other end of its standard output: what a pipe of this size can do at best."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from benchmarks.contenders.job import CannotError
from benchmarks.contenders.posix_spawn_ import SpawnGang

if TYPE_CHECKING:
    from benchmarks.contenders.job import Job


class CatGang(SpawnGang):
    """A ``Gang`` whose ranks write to pipes."""

    def start_now(self) -> None:
        """Start every rank, and its cat."""
        job = self.job
        os.makedirs(job.directory, exist_ok=True)
        for rank, args in enumerate(job.args):
            reading, writing = os.pipe()
            path = os.path.join(job.directory, f"{rank}_stdout.log")
            to_file = (os.POSIX_SPAWN_OPEN, 1, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._spawn((job.program, *args), (os.POSIX_SPAWN_DUP2, writing, 1))
            self._spawn(("cat",), (os.POSIX_SPAWN_DUP2, reading, 0), to_file)
            os.close(reading)
            os.close(writing)

    def wait_now(self) -> list[int]:
        """Exit codes by rank."""
        return super().wait_now()[::2]

    def _spawn(self, argv: tuple[str, ...], *actions: Any) -> None:
        self._pids.append(os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions, setpgroup=0))


def gang(job: Job) -> CatGang:
    """See ``benchmarks.contenders``."""
    if job.capture != "files":
        raise CannotError("writes files only")
    return CatGang(job)
