"""A terminal whose lines scroll above a few rows that stay."""

from __future__ import annotations

import contextlib
import io
import math
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aelastic.logs.destinations import Destination

FULL = 256 * 1024  # characters that wait to be drawn
_FRAME = 1 / 30  # seconds between two drawings
_LONGEST_TAIL = 64 * 1024
_SUSPICIOUS = "\x1b\r\b\v\f"
_MOVES = re.compile("\x1b\\[[0-?]*[ -/]*[@-ln-~]|\x1b[78DEHMc]|[\r\b\v\f]")  # whatever is no colour
_COLOURS = re.compile("\x1b\\[[0-?]*[ -/]*m")
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # a terminal that knows them shows the drawing between them at once


@dataclass(frozen=True, slots=True)
class Block:
    """The rows at the bottom, and how many cells of the terminal each takes."""

    rows: Sequence[str] = ()
    cells: Sequence[int] = ()

    def height(self, columns: int) -> int:
        """Lines that it takes on a terminal of this width, which may have become narrower since it was drawn."""
        return sum(max(1, math.ceil(cells / columns)) for cells in self.cells)


class Screen:
    """Draws lines and a block of rows on ``destination``, in a thread of its own, some thirty times a second at most.

    The lines are drawn as they are, but for what would move the cursor. ``columns`` asks for the terminal's width.
    """

    def __init__(self, destination: Destination, columns: Callable[[], int]) -> None:
        self._destination = destination
        self._columns = columns
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._waiting = 0  # characters in _lines
        self._block = Block()
        self._dirty = False
        self._closing = False
        self._error: Exception | None = None
        self._drawn = Block()
        self._tail = ""  # the beginning of a line
        self._written = 0
        self._thread = threading.Thread(target=self._work, name="aelastic-screen", daemon=True)

    def start(self) -> None:
        """Begin to draw. Once."""
        self._thread.start()

    def write(self, text: str) -> None:
        """Add to the lines. Waits while too much is to be drawn.

        Raises what the terminal has raised, and ``ValueError`` after the end.
        """
        with self._changed:
            while self._waiting >= FULL and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._lines.append(text)
            self._waiting += len(text)
            self._changed.notify_all()

    def show(self, block: Block) -> None:
        """Put ``block`` in place of the last one."""
        with self._changed:
            self._block, self._dirty = block, True
            self._changed.notify_all()

    def close(self, patience: float) -> None:
        """Draw what there is and leave it there. A terminal that takes nothing for ``patience`` seconds is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        before = -1
        while self._thread.is_alive() and before != self._written:
            before = self._written
            self._thread.join(patience)

    def _work(self) -> None:
        drawn_at = -_FRAME
        while not self._closing or self._lines or self._dirty:
            text, block = self._next(drawn_at)
            drawn_at = time.monotonic()
            try:
                self._draw(text, block)
            except Exception as error:  # noqa: BLE001 - whatever it is, who writes is told
                self._refuse(error)
                break
        self._refuse(ValueError("the screen is closed"))
        with contextlib.suppress(OSError):
            self._destination.close()

    def _refuse(self, error: Exception) -> None:
        """Nobody draws any more: let nobody wait for it."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _next(self, drawn_at: float) -> tuple[str, Block]:
        """What to draw, when there is something and it is time."""
        with self._changed:
            while not (self._closing or self._lines or self._dirty):
                self._changed.wait()
            while not self._closing and self._waiting < FULL and (pause := drawn_at + _FRAME - time.monotonic()) > 0:
                self._changed.wait(pause)
            text = "".join(self._lines)
            self._lines.clear()
            self._waiting, self._dirty = 0, False
            self._changed.notify_all()
            return text, self._block

    def _draw(self, text: str, block: Block) -> None:
        columns = max(1, self._columns())
        lines = self._whole_lines(text)
        erase = f"\r\x1b[{height}A\x1b[J" if (height := self._drawn.height(columns)) else ""
        if self._closing and self._tail:
            lines, self._tail = f"{lines}{self._tail}\n", ""
        self._drawn = _with_tail(block, self._tail, columns) if self._tail else block
        rows = "".join(f"{row}\x1b[K\n" for row in self._drawn.rows)
        self._put(f"{_BEGIN}{erase}{lines}\x1b[m{rows}{_END}")

    def _whole_lines(self, text: str) -> str:
        """The lines that are complete, fit to be shown; what follows them is kept for the next time."""
        end = text.rfind("\n") + 1
        if end:
            text, self._tail = self._tail + text[:end], text[end:]
        else:
            text, self._tail = "", self._tail + text
        if len(self._tail) > _LONGEST_TAIL:
            text, self._tail = f"{text}{self._tail}\n", ""
        return _MOVES.sub("", text) if any(one in text for one in _SUSPICIOUS) else text

    def _put(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        while rest:
            count = self._destination.write(rest)
            self._written += count
            rest = rest[count:]


class ScreenStream(io.TextIOBase):
    """What is printed goes to the lines of ``screen``."""

    encoding = "utf-8"

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """Escape sequences are understood."""
        return True

    def write(self, text: str) -> int:
        """Add ``text`` to the lines."""
        self._screen.write(text)
        return len(text)


def _with_tail(block: Block, tail: str, columns: int) -> Block:
    """An unfinished line is shown as the first row, as far as it goes on one line."""
    plain = _COLOURS.sub("", _MOVES.sub("", tail))
    row = plain[: columns if plain.isascii() else columns // 2]
    return Block((row, *block.rows), (len(row), *block.cells))
