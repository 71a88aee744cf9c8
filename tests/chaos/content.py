"""Bytes that a rank writes and the judge expects, made of a few numbers. Imported in ranks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDLE = b"KEEP"
PLAIN = ("lines", "unended")  # what a console shows as it stands


def content(kind: str, size: int, salt: int) -> bytes:
    """About ``size`` bytes of a ``kind``: lines, unended, long, binary or progress. ``salt`` makes them unique."""
    if kind == "lines":
        return b"".join(_lines(size, salt))
    if kind == "unended":
        return b"".join(_lines(size, salt)) + b"%d %s has no end" % (salt, NEEDLE)
    if kind == "long":
        return b"%d " % salt + b"=" * size + b"\n"
    if kind == "binary":
        return b"".join(_blocks(size, salt))
    if kind == "progress":
        return b"".join(_updates(size, salt)) + b"\n"
    raise ValueError(kind)


def _lines(size: int, salt: int) -> Iterator[bytes]:
    for number in itertools.count():
        if size <= 0:
            return
        line = b"%d line %06d %s %s\n" % (salt, number, NEEDLE if number % 7 == 3 else b"", b"." * (number * salt % 90))
        size -= len(line)
        yield line


def _blocks(size: int, salt: int) -> Iterator[bytes]:
    noise = b"".join(((salt + 1) * number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8) for number in range(1, 64))
    for number in range((size + 511) // 512):
        yield number.to_bytes(8) + noise


def _updates(size: int, salt: int) -> Iterator[bytes]:
    for number in range(size // 16):
        yield b"\r%d done %6d" % (salt, number)
