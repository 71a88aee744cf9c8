"""Escape sequences: gone whole, whatever the borders of blocks, pieces and lines; text stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.escapes import EscapeStripper, PlainLineAssembler

if TYPE_CHECKING:
    from collections.abc import Iterable

SEQUENCES = [
    b"\x1b[m",
    b"\x1b[1;38;2;255;0;0m",
    b"\x1b[38:5:9m",
    b"\x1b[?25l",
    b"\x1b[>4;1m",
    b"\x1b[2K",
    b"\x1b[10;20H",
    b"\x1b[1 q",  # with an intermediate byte
    b"\x1b[!p",
    b"\x1b]0;a title\a",
    b"\x1b]0;a title\x1b\\",
    "\x1b]0;títle © €\x1b\\".encode(),
    b"\x1b]8;;https://example.org/a?b=c\x1b\\",
    b"\x1bP0;1;0q#0;2;0;0;0~-\x1b\\",  # sixels
    b"\x1b_Gf=32,s=1,v=1;AAAA\x1b\\",
    b"\x1b^private\x1b\\",
    b"\x1bXstring\x1b\\",
    b"\x1b]0;given up\x18",
    b"\x1b(B",
    b"\x1b#8",
    b"\x1b%G",
    b"\x1b $<",
    b"\x1bc",
    b"\x1b7",
    b"\x1bM",
    b"\x1b=",
    b"\x1b~",
    b"\x1b\\",
    "\x9b1;31m".encode(),  # the same in one character
    "\x9d0;a title\x9c".encode(),
    "\x9d0;a title\a".encode(),
    "\x90q~\x1b\\".encode(),
    "\x85".encode(),
    b"\a",
    b"\b",
    b"\0",
    b"\v",
    b"\f",
    b"\x0e",
    b"\x18",
    b"\x1a",
    b"\x1f",
    b"\x7f",
]
CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\r") | {0x7F}

# What makes a stream difficult: whole sequences, and what they are made of.
ATOMS = st.sampled_from(
    [*SEQUENCES, *(bytes((byte,)) for byte in b"\x1b\x1b\x1b[]P\\_(m1; x\n\r\t\a\x18\0\xc2\xc2\x9b\x9c\x80\xa9\xff")]
)
STREAMS = st.lists(ATOMS, max_size=12).map(b"".join) | st.binary(max_size=40)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n")).map(str.encode)


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """A stream, cut anywhere."""
    data = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def stripped(chunks: Iterable[bytes]) -> bytes:
    stripper = EscapeStripper()
    return b"".join([*map(stripper.feed, chunks), stripper.finish()])


def shown(chunks: Iterable[bytes], limit: int, interval: float = 1.0) -> bytes:
    assembler = PlainLineAssembler(limit, interval)
    return b"".join([*(assembler.feed(chunk).data for chunk in chunks), assembler.finish().data])


def single_bytes(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


# One sequence


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_goes_whole_and_nothing_else_with_it(sequence: bytes) -> None:
    data = b"be" + sequence + b"fore\tand " + sequence + sequence + b"after\n" + sequence
    assert stripped([data]) == stripped(single_bytes(data)) == b"before\tand after\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b", b""),
        (b"a\x1b\nb", b"a\nb"),
        (b"a\x1b\x1b[1mb", b"ab"),
        (b"a\x1b\xc3\xa9", b"a\xc3\xa9"),
        (b"a\x1b[", b"a"),
        (b"a\x1b[3\nb", b"a\nb"),
        (b"a\x1b[3\xc3\xa9b", b"a\xc3\xa9b"),
        (b"a\x1b[3\x1b[1mb", b"ab"),
        (b"a\x1b[3\a1mb", b"a1mb"),
        (b"a\x1b[3\x001mb", b"ab"),  # terminals pass over it, too
        (b"a\x1b(\nb", b"a\nb"),
        (b"a\x1b]0;title", b"a"),
        (b"a\x1b]0;title\nb\n", b"a\nb\n"),
        (b"a\x1b]0;title\rb\n", b"a\rb\n"),
        (b"a\x1b]0;title\x1b[1mb", b"ab"),
        (b"a\x1b]0;title\x1b\nb", b"a\nb"),
        (b"a\x1bPtmux;\x1b\x1b]0;title\a\x1b\\b", b"ab"),
        (b"a\x1bPdata\nb\x1b\\c", b"a\nbc"),
        (b"\xc2\xa0\xc2\xb0\xc2", b"\xc2\xa0\xc2\xb0\xc2"),
        (b"\xc2\n\xc2\xc2\xa9", b"\xc2\n\xc2\xc2\xa9"),
        (b"\xe2\x82\xac\xe9\x9b\x85", b"\xe2\x82\xac\xe9\x9b\x85"),
        (b"\xff\x9b1m", b"\xff\x9b1m"),  # no UTF-8, so no control
        (b"\xc2\0\x9b1m", b""),
        (b"\xc2\x1b[m\x9b1m", b"\xc21m"),
    ],
)
def test_what_is_broken_off_ends_there(data: bytes, expected: bytes) -> None:
    assert stripped([data]) == stripped(single_bytes(data)) == expected


def test_a_block_of_text_is_given_back_itself() -> None:
    block = "no escapes, 36 °C,\tnext\r\n".encode() * 1000
    assert EscapeStripper().feed(block) is block


def test_a_sequence_without_an_end_takes_no_memory() -> None:
    stripper = EscapeStripper()
    for begin in (b"\x1b[", b"\x1b]", b"\x1b("):
        assert stripper.feed(begin) == b""
        for _ in range(1000):
            assert stripper.feed({b"\x1b[": b"1;", b"\x1b]": b"xy", b"\x1b(": b"(#"}[begin] * 500) == b""
            assert len(stripper._begun) <= 3
        assert stripper.feed(b"\nx") == b"\nx"


@pytest.mark.parametrize("inside", [b"1;2", b"1 ", b"0;title\x1b", b"0;title\xc2"])
def test_a_long_sequence_goes_on_where_it_was(inside: bytes) -> None:
    begin, end = (b"\x1b]", b"\\") if b"title" in inside else (b"\x1b[", b"q")
    end = b"\x9c" if inside.endswith(b"\xc2") else end
    assert stripped([b"a" + begin + inside, end + b"b"]) == b"ab"


# Whatever comes


@given(chunked())
def test_any_chunking_gives_the_same(chunks: list[bytes]) -> None:
    assert stripped(chunks) == stripped([b"".join(chunks)])


@given(STREAMS)
def test_single_bytes_give_the_same(data: bytes) -> None:
    assert stripped(single_bytes(data)) == stripped([data])


@given(STREAMS)
def test_no_control_is_left_but_tab_and_line_ends(data: bytes) -> None:
    text = stripped([data])
    assert not CONTROLS & frozenset(text)
    assert not [byte for byte in range(0x80, 0xA0) if bytes((0xC2, byte)) in text]


@given(STREAMS)
def test_nothing_is_left_to_be_stripped(data: bytes) -> None:
    text = stripped([data])
    assert stripped([text]) == text


@given(STREAMS)
def test_line_ends_and_carriage_returns_stay(data: bytes) -> None:
    assert [byte for byte in stripped([data]) if byte in b"\n\r"] == [byte for byte in data if byte in b"\n\r"]


@given(STREAMS, TEXTS)
def test_what_follows_a_line_end_is_not_swallowed(data: bytes, text: bytes) -> None:
    assert stripped([data, b"\n", text]) == stripped([data, b"\n"]) + text


@given(TEXTS)
def test_text_stays_as_it_is(text: bytes) -> None:
    assert stripped([text]) == stripped(single_bytes(text)) == text


@given(st.binary())
def test_bytes_of_other_encodings_stay_as_they_are(data: bytes) -> None:
    data = bytes(byte for byte in data if byte not in CONTROLS | {0xC2})
    assert stripped([data]) == stripped(single_bytes(data)) == data


@given(st.lists(st.tuples(TEXTS, st.sampled_from(SEQUENCES))), st.integers(1, 5))
def test_text_between_sequences_stays_as_it_is(parts: list[tuple[bytes, bytes]], size: int) -> None:
    data = b"".join(text + sequence for text, sequence in parts)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert stripped(chunks) == b"".join(text for text, _ in parts)


# Lines


@given(chunked(), st.integers(1, 50), st.sampled_from([0.0, 1.0, float("inf")]))
def test_lines_are_the_same_for_any_chunking(chunks: list[bytes], limit: int, interval: float) -> None:
    assert shown(chunks, limit, interval) == shown([b"".join(chunks)], limit, interval)


@given(chunked(), st.integers(1, 50))
def test_lines_have_no_control_but_tab_and_line_end(chunks: list[bytes], limit: int) -> None:
    assert not (CONTROLS | {0x0D}) & frozenset(shown(chunks, limit))


@given(TEXTS, st.integers(1, 10), st.integers(1, 50))
def test_lines_of_text_are_shown_as_ever(text: bytes, size: int, limit: int) -> None:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert shown(chunks, limit) == text


def test_a_sequence_over_the_border_of_a_piece_goes_whole() -> None:
    assembler = PlainLineAssembler(limit=4)
    pieces = [assembler.feed(chunk).data for chunk in (b"abcde\x1b[", b"31", b"mf\x1b]0;ti", b"tle\ngh", b"\x1b[m\n")]
    assert pieces == [b"abcde", b"", b"f", b"\n", b"gh\n"]


def test_progress_is_shown_as_ever() -> None:
    assert (
        shown([b"\x1b[?25l\r\x1b[2K 1%\r\x1b[2K 2%\x1b]9;4;1\r\x1b[2K\x1b[?25h\r 3%\x1b[m\r\x1b[K\n"], 99)
        == b" 1%\n 3%\n"
    )


def test_a_carriage_return_in_a_line_too_long_to_be_held_is_a_space() -> None:
    assert shown([b"1%\r", b"x" * 9 + b"\ry\x1b[m\r", b"z\n2\r\n"], 4) == b"1%\n" + b"x" * 9 + b" y z\n2\n"


@pytest.mark.parametrize("limit", [1, 2, 99])
def test_what_looked_like_a_beginning_is_shown_at_the_end(limit: int) -> None:
    assembler = PlainLineAssembler(limit)
    begin, end = assembler.feed(b"a\xc2"), assembler.finish()
    assert begin.data + end.data == b"a\xc2"
    assert end.unfinished
    assert assembler.finish().data == b""
