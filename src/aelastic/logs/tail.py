"""Following files that somebody else writes."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TextIO

from aelastic.decide.lines import LineAssembler, Piece
from aelastic.logs.console import MEMORY, Console
from aelastic.logs.destinations import destination_of
from aelastic.logs.files import FollowedFile, read_new

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from aelastic.logs.console import ConsoleStream

logger = logging.getLogger("aelastic")

_BLOCK = 256 * 1024
_PATIENCE = 1.0


class TailLog:
    """Shows the lines of files that others write, while they write them. Torch's names.

    The files may not exist yet, and may be emptied or replaced. A line is shown when it is complete, or at ``stop``.
    There is one task and one reading thread for all files. They are looked at every ``interval_sec`` seconds, the
    only polling in aelastic: a file that somebody else writes gives no other sign.

    Args:
        name: goes in front of the rank in the header of its lines.
        log_files: paths by local rank.
        dst: where the lines go. It may be slow; then the reading waits for it, the loop does not.
        log_line_prefixes: header of the lines by local rank, in place of ``[<name><rank>]:``.
        interval_sec: seconds between two looks, and so the most that a line is late.
        log_line_filter: given a line (with its end, without its header), whether to show it. Runs in a thread.
            A line longer than 64 KiB is judged by its beginning.
    """

    def __init__(
        self,
        name: str,
        log_files: Mapping[int, str],
        dst: TextIO,
        log_line_prefixes: Mapping[int, str] | None = None,
        interval_sec: float = 0.1,
        log_line_filter: Callable[[str], bool] | None = None,
    ) -> None:
        self._name = name
        self._paths = dict(log_files)
        self._dst = dst
        self._prefixes = {rank: f"[{name}{rank}]:" for rank in log_files} | dict(log_line_prefixes or {})
        self._interval = max(interval_sec, 0.001)
        self._filter = log_line_filter
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> Self:
        """Begin to follow. Raises ``RuntimeError`` without a running loop, and when called again."""
        if self._task is not None:
            raise RuntimeError(f"the files of {self._name!r} are followed already")
        self._stopping = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow(), name=f"aelastic-tail-{self._name}")
        return self

    async def stop(self) -> None:
        """Show what is in the files now, and end. What ``dst`` does not take within a second is given up."""
        if self._task is not None:
            if not self._stopping.done():
                self._stopping.set_result(None)
            await asyncio.wait({self._task})
        self._stopped = True

    def stopped(self) -> bool:
        """Whether ``stop`` was called and has finished."""
        return self._stopped

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _follow(self) -> None:
        console = Console(destination_of(self._dst))
        copy = _Copy(console, [(FollowedFile(path), self._stream(console, rank)) for rank, path in self._paths.items()])
        at = 0.0  # seconds of waiting: all the clock that progress bars need
        try:
            while not self._stopping.done():
                if not (await self._room(console) and await copy.read_on(at)):
                    await asyncio.wait({self._stopping}, timeout=self._interval)
                    at += self._interval
            copy.end_soon()
            while await self._room(console) and await copy.read_on(at):
                pass
        finally:
            copy.close()
            await console.close(_PATIENCE if console.has_room else 0)

    def _stream(self, console: Console, rank: int) -> ConsoleStream:
        wanted = self._filter
        assembler = LineAssembler if wanted is None else lambda: _Sieve(wanted)
        return console.stream(self._prefixes[rank], self._paths[rank], assembler)

    async def _room(self, console: Console) -> bool:
        """Wait until the console can take more; False when it takes nothing and we are to stop."""
        shown, waited = console.shown, 0.0
        while not console.has_room:
            if self._stopping.done() and waited >= _PATIENCE:
                return False
            await asyncio.sleep(self._interval)
            waited = waited + self._interval if console.shown == shown else 0.0
            shown = console.shown
        return True


class _Copy:
    """Moves bytes from followed files to their streams on a console."""

    def __init__(self, console: Console, pairs: list[tuple[FollowedFile, ConsoleStream]]) -> None:
        self._pairs = pairs
        self._files = [file for file, _ in pairs]
        self._most = max(1, min(_BLOCK, MEMORY // 2 // max(1, len(pairs))))  # so that the console has room for all
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aelastic-tail")

    async def read_on(self, at: float) -> bool:
        """Show what is new, or a good deal of it, as read at ``at``. Whether there was anything."""
        blocks = await read_new(self._files, self._most, self._executor)
        for (_, stream), block in zip(self._pairs, blocks, strict=True):
            if block is None:
                stream.end()
            elif block:
                stream.show(block, at, None)
        return blocks.count(b"") < len(blocks)

    def end_soon(self) -> None:
        """What is in the files now is to be their end."""
        for file in self._files:
            file.end_soon()

    def close(self) -> None:
        """Show unfinished lines; let the files go."""
        for file, stream in self._pairs:
            stream.end()
            self._executor.submit(file.close)  # behind a reading that nobody waits for any more
        self._executor.shutdown(wait=False)


class _Sieve:
    """Assembles lines and leaves out those that are not wanted. A line in pieces is judged by the first one."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted: Callable[[str], bool] | None = wanted
        self._assembler = LineAssembler()
        self._keep = True

    def feed(self, data: bytes, at: float) -> Piece:
        """Take bytes that were read at ``at``; give what can be shown now."""
        return self._sift(self._assembler.feed(data, at))

    def finish(self) -> Piece:
        """The stream is over: give what was held back."""
        return self._sift(self._assembler.finish())

    def _sift(self, piece: Piece) -> Piece:
        *lines, rest = piece.data.split(b"\n")
        parts = [line + b"\n" for line in lines] + ([rest] if rest else [])
        continues = piece.continues and self._keep
        kept = [part for index, part in enumerate(parts) if self._judge(part, piece.continues and index == 0)]
        return Piece(b"".join(kept), continues, piece.unfinished and self._keep)

    def _judge(self, part: bytes, continues: bool) -> bool:
        if not continues:
            self._keep = self._wants(part.decode(errors="replace"))
        return self._keep

    def _wants(self, line: str) -> bool:
        if self._wanted is None:
            return True
        try:
            return bool(self._wanted(line))
        except Exception:
            logger.exception("log_line_filter failed; from here on every line of this file is shown")
            self._wanted = None
            return True
