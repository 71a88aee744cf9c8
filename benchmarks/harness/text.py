"""The lines that ranks write as fast as they can."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINE = 81  # bytes, the line end included
NEEDLE = "loss"
EVERY = 10  # one line of so many has the needle


def lines_file(directory: Path, lines: int) -> str:
    """A file of so many lines; ``cat`` writes it from memory at full speed."""
    path = directory / "lines"
    block = b"".join(_line(number) for number in range(1000))
    with open(path, "wb") as file:
        for _ in range(lines // 1000):
            file.write(block)
    return str(path)


def _line(number: int) -> bytes:
    words = f"step {number:6d} {NEEDLE} " if number % EVERY == 0 else f"step {number:6d} "
    return words.ljust(LINE - 1, "x").encode() + b"\n"
