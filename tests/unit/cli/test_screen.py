"""Lines that scroll above rows that stay, as a terminal shows them."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import pyte
import pytest

from aelastic.cli.screen import FULL, Block, Screen, ScreenStream

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = 20


class Emulator:
    """A terminal as a destination. It takes what it is given in small pieces, once it is ``open``."""

    def __init__(self) -> None:
        self.screen = pyte.HistoryScreen(COLUMNS, 10, history=10_000, ratio=1)
        self.screen.set_mode(pyte.modes.LNM)  # as the kernel does, a line feed returns the carriage
        self.stream = pyte.ByteStream(self.screen)
        self.open = threading.Event()
        self.open.set()
        self.drawings = 0
        self.blind = False
        self.error: OSError | None = None

    def write(self, data: memoryview) -> int:
        self.open.wait()
        if self.error is not None:
            raise self.error
        if self.blind:
            return len(data)
        piece = bytes(data[:1000])
        self.drawings += piece.count(b"\x1b[?2026h")
        self.stream.feed(piece)
        return len(piece)

    def close(self) -> None:
        self.open.wait()

    @property
    def lines(self) -> list[str]:
        scrolled = ["".join(line[column].data for column in range(COLUMNS)) for line in self.screen.history.top]
        return [line.rstrip() for line in (*scrolled, *self.screen.display) if line.strip()]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    made = Emulator()
    yield made
    made.open.set()


@pytest.fixture
def screen(emulator: Emulator) -> Iterator[Screen]:
    made = Screen(emulator, lambda: COLUMNS)
    made.start()
    yield made
    made.close(patience=1)


def block(*rows: str) -> Block:
    return Block(rows, [len(row) for row in rows])


def test_lines_stand_above_the_rows(screen: Screen, emulator: Emulator) -> None:
    screen.show(block("table", "row"))
    screen.write("one\ntwo\n")
    screen.close(patience=10)
    assert emulator.lines == ["one", "two", "table", "row"]


def test_rows_are_replaced(screen: Screen, emulator: Emulator) -> None:
    for number in range(5):
        screen.show(block("table", f"row {number}", *["more"] * number))
        screen.write(f"line {number}\n")
    screen.show(block("last"))
    screen.close(patience=10)
    assert emulator.lines == [*(f"line {number}" for number in range(5)), "last"]


def test_every_line_of_many_is_shown_in_few_drawings(screen: Screen, emulator: Emulator) -> None:
    screen.show(block("table"))
    for number in range(5000):
        screen.write(f"line {number}\n")
    screen.close(patience=10)
    assert emulator.lines == [*(f"line {number}" for number in range(5000)), "table"]
    assert emulator.drawings < 1000


def test_an_unfinished_line_waits_below_the_finished_ones(screen: Screen, emulator: Emulator) -> None:
    screen.show(block("table"))
    screen.write("begun")
    screen.write(" and ended\nbegun again")
    screen.close(patience=10)
    assert emulator.lines == ["begun and ended", "begun again", "table"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[m", "red"),
        ("up\x1b[Aand\x1b[2Kon", "upandon"),
        ("\x1b[10;10Hhome", "home"),
        ("back\b\b\rward", "backward"),
        ("a\x0bb\x0cc", "abc"),
        ("\x1bcreset\x1b7", "reset"),
    ],
)
def test_what_would_move_the_cursor_is_left_out(screen: Screen, emulator: Emulator, written: str, shown: str) -> None:
    screen.show(block("table"))
    screen.write(f"{written}\n")
    screen.close(patience=10)
    assert emulator.lines == [shown, "table"]


def test_colours_end_before_the_rows(screen: Screen, emulator: Emulator) -> None:
    screen.show(block("table"))
    screen.write("\x1b[31mred\n")
    screen.close(patience=10)
    assert emulator.screen.buffer[0][0].fg == "red"
    assert emulator.screen.buffer[1][0].fg == "default"


def test_a_narrower_terminal_is_cleared_of_rows_that_wrap() -> None:
    drawn = Block(("x" * 20, "short"), (20, 5))
    assert [drawn.height(columns) for columns in (20, 19, 10, 5)] == [2, 3, 3, 5]


def test_a_very_long_line_is_shown_without_its_end(screen: Screen, emulator: Emulator) -> None:
    screen.write("x" * 70_000)
    screen.write("\nnext\n")
    screen.close(patience=10)
    assert "".join(emulator.lines) == "x" * 70_000 + "next"


def test_a_stuck_terminal_holds_up_who_writes_and_is_given_up(screen: Screen, emulator: Emulator) -> None:
    emulator.blind = True
    emulator.open.clear()
    refused = threading.Event()

    def write() -> None:
        try:
            for _ in range(4):
                screen.write("x" * FULL)
        except ValueError:
            refused.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    screen.close(patience=0.1)
    assert writer.is_alive()
    emulator.open.set()
    assert refused.wait(10)
    writer.join()


def test_who_writes_is_told_that_the_terminal_is_gone(emulator: Emulator) -> None:
    screen = Screen(emulator, lambda: COLUMNS)
    emulator.error = OSError(errno.EIO, "gone")
    screen.start()
    screen.write("x" * FULL)
    with pytest.raises(OSError, match="gone"):  # there is no room before it was tried
        screen.write("x")
    screen.close(patience=10)


def test_the_stream_for_what_prints(screen: Screen, emulator: Emulator) -> None:
    stream = ScreenStream(screen)
    print("printed", file=stream, flush=True)
    assert stream.writable()
    with pytest.raises(OSError, match="fileno"):
        stream.fileno()
    screen.close(patience=10)
    assert emulator.lines == ["printed"]
