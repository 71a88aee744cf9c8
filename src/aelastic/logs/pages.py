"""A part of a log file, for who looks at it while it is written. Blocks."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """Bytes ``start`` to ``end`` of a file of ``size`` bytes: whole lines, unless one is longer than a page."""

    start: int
    end: int
    size: int
    data: bytes


def read_page(path: str, limit: int, *, before: int | None = None, after: int | None = None) -> Page:
    """At most ``limit`` bytes that begin at ``after``; else those that end at ``before``, None: at the end of the file.

    Offsets are meant to be those of another page. Anything but a regular file is empty. Raises ``OSError``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO does not hold us up
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Page(0, 0, 0, b"")
        size = found.st_size
        if after is not None:
            return _forwards(descriptor, min(after, size), limit, size)
        return _backwards(descriptor, size if before is None else min(before, size), limit, size)
    finally:
        os.close(descriptor)


def _forwards(descriptor: int, start: int, limit: int, size: int) -> Page:
    data = os.pread(descriptor, min(limit, size - start), start)
    if start + len(data) < size:
        data = data[: data.rfind(b"\n") + 1] or data
    return Page(start, start + len(data), size, data)


def _backwards(descriptor: int, end: int, limit: int, size: int) -> Page:
    start = max(0, end - limit)
    data = os.pread(descriptor, end - start, start)
    end = start + len(data)
    if start > 0:
        data = data[data.find(b"\n") + 1 :] or data
    return Page(end - len(data), end, size, data)
