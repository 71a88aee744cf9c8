"""Bare ``asyncio.create_subprocess_exec``, and what one writes around it: tasks that read, and the stop by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import IO, TYPE_CHECKING

from benchmarks.contenders.job import PREFIX, CannotError, exitcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders.job import Job

_BLOCK = 64 * 1024


class AsyncioGang:
    """A ``Gang`` of ``asyncio.subprocess``."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every rank."""
        where = None if self._job.capture == "none" else asyncio.subprocess.PIPE
        for rank, args in enumerate(self._job.args):
            process = await asyncio.create_subprocess_exec(
                self._job.program, *args, stdout=where, stderr=where, start_new_session=True
            )
            self._processes.append(process)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
                if stream is not None:
                    self._readers.append(asyncio.create_task(self._read(rank, name, stream)))

    def pids(self) -> list[int]:
        """By rank."""
        return [process.pid for process in self._processes]

    async def wait(self) -> list[int]:
        """Exit codes by rank."""
        left = {asyncio.ensure_future(process.wait()) for process in self._processes}
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            if any(one.result() for one in done):
                await self.close()
        await asyncio.gather(*self._readers)
        return [exitcode(process.returncode) for process in self._processes]

    async def close(self) -> None:
        """Stop what still runs."""
        self._signal(signal.SIGTERM)
        ends = [asyncio.ensure_future(process.wait()) for process in self._processes]
        if ends:
            await asyncio.wait(ends, timeout=self._job.grace)
            self._signal(signal.SIGKILL)
            await asyncio.wait(ends)
        await asyncio.gather(*self._readers)

    def _signal(self, sig: int) -> None:
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sig)

    async def _read(self, rank: int, name: str, stream: asyncio.StreamReader) -> None:
        os.makedirs(self._job.directory, exist_ok=True)
        with open(os.path.join(self._job.directory, f"{rank}_{name}.log"), "wb") as file:  # noqa: ASYNC230 - as one writes it
            if self._job.capture == "files":
                while block := await stream.read(_BLOCK):
                    file.write(block)
            else:
                await self._read_lines(file, stream, self._shows(rank, name))

    async def _read_lines(self, file: IO[bytes], stream: asyncio.StreamReader, show: Callable[[bytes], object]) -> None:
        async for line in stream:
            file.write(line)
            show(line)

    def _shows(self, rank: int, name: str) -> Callable[[bytes], object]:
        if self._job.capture == "filter":
            raise CannotError("has no filters")
        prefix = PREFIX.format(rank).encode()
        console = (sys.stdout if name == "stdout" else sys.stderr).buffer
        return lambda line: console.write(prefix + line)


def gang(job: Job) -> AsyncioGang:
    """See ``benchmarks.contenders``."""
    if job.capture == "filter":
        raise CannotError("has no filters")
    return AsyncioGang(job)
