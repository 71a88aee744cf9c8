"""Log files, written in blocks off the loop, and files of others, read off it. The only module that knows aiofiles."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
import sys
from dataclasses import dataclass
from functools import partial
from io import FileIO
from typing import TYPE_CHECKING

import aiofiles.os
import aiofiles.threadpool

from aelastic.logs.batches import Batches, write_all
from aelastic.logs.history import KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from aelastic.logs.pipe import Pipe

logger = logging.getLogger("aelastic")

_BLOCK = 256 * 1024
_BLOCKS = 64  # copied in one go
_TAIL = 2 * KEPT
_A_MOMENT = 2  # milliseconds


@dataclass(slots=True)
class Copied:
    """What a thread has read and written, up to an ``error``; ``unwritten`` is what it could not write.

    ``tail``: the last of it, as much as a history keeps. ``start``: where it begins in the file.
    """

    start: int
    count: int = 0
    tail: bytes = b""
    ended: bool = False
    unwritten: bytes = b""
    error: OSError | None = None

    @property
    def stop(self) -> int:
        """Where it ends in the file."""
        return self.start + self.count - len(self.unwritten)


class LogFile:
    """A file that takes what it is given, in order, and counts what it could not take.

    A disk that refuses is reported once; writing is tried again with each block, since room may be made.
    """

    def __init__(self, path: str, file: FileIO, writer: Writer) -> None:
        self.path = path
        self.size = 0  # bytes in the file
        self.lost = 0  # bytes that are not
        self._raw = file
        self._executor = writer.executor
        self._file = aiofiles.threadpool.wrap(file, executor=writer.executor)
        self._batches = writer.batches(file)
        self.can_be_read_back = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        self._writing = asyncio.Lock()  # several streams may share a file

    async def write(self, block: bytes) -> int | None:
        """Append ``block``; the offset to read it back from, or None when it cannot be read back."""
        async with self._writing:
            start = self.size
            entry = await self._batches.write(self._raw, memoryview(block))
            self.size += entry.written
            if entry.error is not None:
                self._lose(len(block) - entry.written, entry.error)
                return None
            return start if self.can_be_read_back else None

    async def copy(self, pipe: Pipe, most: int) -> Copied:
        """Append what comes from ``pipe``, at most so many bytes, read by the thread that writes.

        For streams that are not looked into on the way: at full speed, going through the loop with each block takes
        twice as long.
        """
        async with self._writing:
            copied = Copied(self.size)
            await aiofiles.os.wrap(_copy)(pipe, self._raw, most, copied, executor=self._executor)
            self.size = copied.stop
        if copied.error is not None:
            self._lose(len(copied.unwritten), copied.error)
        return copied

    async def close(self) -> None:
        """Close the file. A disk that refuses even that is reported."""
        try:
            await self._file.close()
        except OSError as error:
            self._lose(0, error)

    def _lose(self, count: int, error: OSError) -> None:
        if not self.lost:
            logger.error("cannot write to %s: %s; the rank goes on, lost bytes are counted", self.path, error.strerror)
        self.lost += count


class Writer:
    """What log files are written by: the threads of ``executor``. Files of one device are written together."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._by_device: dict[int, Batches] = {}

    def batches(self, file: FileIO) -> Batches:
        """Whom ``file`` is written with; nobody, if it is not a plain one, which may make its writer wait."""
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return self._new()
        return self._by_device.setdefault(status.st_dev, self._new())

    def _new(self) -> Batches:
        return Batches(partial(aiofiles.os.wrap(write_all), executor=self.executor))


async def create_log_file(path: str, writer: Writer, *, private: bool = True) -> LogFile:
    """Create or empty the file at ``path``. Raises ``OSError``.

    ``private``: a new one is open to its owner alone, else to whom the umask lets.
    """
    opener = partial(_open, mode=0o600 if private else 0o666)
    file = await aiofiles.os.wrap(FileIO)(path, "wb", opener=opener, executor=writer.executor)
    return LogFile(path, file, writer)


def _open(path: str, flags: int, mode: int) -> int:
    """Appending, since a file that somebody else empties meanwhile must not get a hole.

    A FIFO that nobody reads is an error, where a plain ``open`` would wait for its reader for ever.
    """
    descriptor = os.open(path, flags | os.O_APPEND | os.O_NONBLOCK, mode)
    os.set_blocking(descriptor, True)
    return descriptor


def _copy(pipe: Pipe, file: FileIO, most: int, copied: Copied) -> None:
    """Until there is nothing for a moment; no moment is waited for somebody who writes little."""
    buffer, recent = memoryview(bytearray(_BLOCK)), list[bytes]()
    with pipe.lent() as source:
        for _ in range(_BLOCKS):
            try:
                count = os.readv(source, [buffer[: most - copied.count]])
            except BlockingIOError:
                if copied.count < _BLOCK or not _is_readable(source):
                    break
                continue
            copied.ended = count == 0
            if not count:
                break
            copied.count += count
            recent = [] if count >= _TAIL else recent
            recent.append(bytes(buffer[max(0, count - _TAIL) : count]))
            _append(file, buffer[:count], copied)
            if copied.error is not None:
                break
    copied.tail = b"".join(recent)[-_TAIL:]


def _append(file: FileIO, rest: memoryview, copied: Copied) -> None:
    while rest:
        try:
            rest = rest[file.write(rest) :]
        except OSError as error:
            copied.unwritten, copied.error = bytes(rest), error
            return


def _is_readable(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(_A_MOMENT))


class FollowedFile:
    """A file that somebody else writes: absent at first perhaps, growing, emptied or replaced. Blocks, never raises."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._offset = 0
        self._end = sys.maxsize
        self._ending = False
        self._warned = False

    def read(self, size: int) -> bytes | None:
        """At most ``size`` new bytes; empty when there are none, None when what follows is a new beginning."""
        try:
            return self._read(size)
        except (FileNotFoundError, BlockingIOError):
            return b""
        except OSError as error:
            if not self._warned:
                logger.warning("cannot follow %s: %s", self.path, error.strerror)
                self._warned = True
            return b""

    def end_soon(self) -> None:
        """Let ``read`` give what is there now, and no more."""
        self._ending = True
        if self._descriptor >= 0:
            self._end = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Let the file go; ``read`` would open it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self, size: int) -> bytes | None:
        if self._descriptor < 0:
            self._open()
        if data := self._more(size):
            return data
        if not self._begins_anew():
            return b""
        if data := self._more(size):  # written before it was replaced
            return data
        self.close()
        return None

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO does not hold us up
        self._offset = 0
        if self._ending:
            self.end_soon()

    def _more(self, size: int) -> bytes:
        data = os.read(self._descriptor, max(0, min(size, self._end - self._offset)))
        self._offset += len(data)
        return data

    def _begins_anew(self) -> bool:
        mine, there = os.fstat(self._descriptor), os.stat(self.path)
        emptied = stat.S_ISREG(mine.st_mode) and mine.st_size < self._offset
        return emptied or not os.path.samestat(mine, there)


async def read_new(files: Sequence[FollowedFile], size: int, executor: Executor) -> list[bytes | None]:
    """What is new in each of ``files``, see ``FollowedFile.read``; off the loop, in one go."""
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: [file.read(size) for file in files])
