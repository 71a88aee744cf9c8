"""Consoles that the test reads, log files at paths of its own, and what the logs cost."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aelastic import LogsDest, LogsSpecs, PContext, RankExited, RunProcsResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self


@contextmanager
def console_in(path: Path) -> Iterator[Path]:
    """Make the file at ``path`` what ``sys.stdout`` and ``sys.stderr`` lead to."""
    with open(path, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield path


class PipeConsole:
    """A pipe that ``sys.stdout`` (or ``sys.stderr``) leads to. Nobody reads it before ``read``."""

    def __init__(self, stream: str = "stdout") -> None:
        self.read_end, write_end = os.pipe()
        self.file = os.fdopen(write_end, "w")
        self.got = bytearray()
        self._reader: threading.Thread | None = None
        redirect = contextlib.redirect_stdout if stream == "stdout" else contextlib.redirect_stderr
        self._redirect = redirect(self.file)

    def __enter__(self) -> Self:
        self._redirect.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._redirect.__exit__(None, None, None)
        with contextlib.suppress(OSError):  # a test may have closed its descriptor, or its reader
            self.file.close()
        if self._reader is not None:
            self._reader.join()
        self.close_reader()

    def read(self) -> None:
        """Collect what comes in ``got``, from now on until nobody can write any more."""
        self._reader = threading.Thread(target=self._read, name="console-reader")
        self._reader.start()

    def close_reader(self) -> None:
        """Nobody will ever read this console."""
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def _read(self) -> None:
        while block := os.read(self.read_end, 1 << 20):
            self.got += block


class Text(io.StringIO):
    """A destination that can be waited at."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def write(self, text: str) -> int:
        """Write, and wake who waits."""
        count = super().write(text)
        self._loop.call_soon_threadsafe(self._changed.set)
        return count

    async def shows(self, text: str) -> None:
        """Wait until ``text`` was written."""
        async with asyncio.timeout(20):
            while text not in self.getvalue():
                self._changed.clear()
                await self._changed.wait()


HALF_A_LINE = """
import fcntl, os, sys, termios, time
os.write(1, b"abc")
while int.from_bytes(fcntl.ioctl(1, termios.FIONREAD, bytes(4)), sys.byteorder):  # until it was read
    time.sleep(0.001)
os.write(1, b"def\\n")
"""


FLOOD_BYTES = 50_000_000
FLOOD = f"""
import os
for start in range(0, {FLOOD_BYTES // 100}, 1000):
    os.write(1, b"".join(b"%099d\\n" % n for n in range(start, start + 1000)))
"""


def flood() -> str:
    """``FLOOD`` as rank 0 of the run ``w`` is shown on the console."""
    return "".join(f"[w0]:{n:099d}\n" for n in range(FLOOD_BYTES // 100))


class PathsOf(LogsSpecs):
    """A user's own: ``dest`` as it stands."""

    def __init__(self, dest: LogsDest) -> None:
        super().__init__()
        self._dest = dest

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """``dest``."""
        return self._dest

    @property
    def root_log_dir(self) -> str:
        """None in particular."""
        return ""


class Heartbeat:
    """Watches over the loop.

    ``longest`` is its longest stall so far, in seconds, without the time in which this thread could have run, and the
    machine let others run. It is there to be told: a busy disk, or another thread that keeps the GIL, makes it long,
    too. ``busiest`` is the most processor time that the loop's thread used between two beats, in seconds.
    """

    def __init__(self, interval: float = 0.01) -> None:
        self.longest = 0.0
        self.busiest = 0.0
        self._queued = 0.0
        self._used = 0.0
        self._beats: asyncio.Queue[None] = asyncio.Queue()
        self._interval = interval
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._queued, self._used = _seconds_in_run_queue(), time.thread_time()
        self._due = self._loop.time() + self._interval
        self._timer = self._loop.call_at(self._due, self._beat)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    async def beat(self, count: int) -> None:
        """Wait for ``count`` heartbeats."""
        for _ in range(count):
            await self._beats.get()

    def _beat(self) -> None:
        now, queued, used = self._loop.time(), _seconds_in_run_queue(), time.thread_time()
        self._beats.put_nowait(None)
        self.longest = max(self.longest, now - self._due - (queued - self._queued))
        self.busiest = max(self.busiest, used - self._used)
        self._queued, self._used = queued, used
        self._due = now + self._interval
        self._timer = self._loop.call_at(self._due, self._beat)


def _seconds_in_run_queue() -> float:
    """How long this thread has waited for a cpu so far."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:  # a kernel that does not count
        return 0.0


def resident_bytes() -> int:
    """The memory of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def exited(ctx: PContext, rank: int = 0) -> None:
    """Wait for the end of ``rank``, which is not yet that of its output."""
    async for event in ctx.events():
        if isinstance(event, RankExited) and event.rank == rank:
            return


async def finish(ctx: PContext) -> RunProcsResult:
    """The result, when everything is over."""
    result = await ctx.wait()
    assert result is not None
    return result
