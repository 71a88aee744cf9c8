"""From bytes to lines: any chunking of the same bytes gives the same output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.lines import Interleaver, LineAssembler, LinePrefixer, Piece, with_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PREFIX = b"[w0]:"
LIMIT = 6  # small, so that most examples have lines beyond it

# Streams made of what makes lines difficult.
ATOMS = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b" ", b"\0", b"\xff", b"\xc3\xbc", b"a", b"bc", b"longer than the limit"]
)
STREAMS = st.lists(ATOMS, max_size=12).map(b"".join) | st.binary(max_size=40)
PLAIN_STREAMS = STREAMS.map(lambda data: data.replace(b"\r", b"."))


@st.composite
def chunked(draw: st.DrawFn, streams: st.SearchStrategy[bytes] = STREAMS) -> list[bytes]:
    """A stream, cut anywhere."""
    data = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def shown(chunks: Iterable[bytes], *, limit: int = LIMIT, interval: float = 1.0, prefix: bytes = PREFIX) -> bytes:
    """What a console shows of a stream that comes in ``chunks`` at one moment."""
    prefixer = LinePrefixer(prefix, limit, interval)
    return b"".join([*(prefixer.feed(chunk) for chunk in chunks), prefixer.finish()])


def single_bytes(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


# Whole lines


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"a\n", b"P:a\n"),
        (b"a\nb\n", b"P:a\nP:b\n"),
        (b"a", b"P:a"),
        (b"a\nb", b"P:a\nP:b"),
        (b"\n", b"P:\n"),
        (b"\n\n", b"P:\nP:\n"),
        (b"a\n\nb\n", b"P:a\nP:\nP:b\n"),
        (b" \n", b"P: \n"),
        (b"\0\n", b"P:\0\n"),
        (b"\xff\xfe\n", b"P:\xff\xfe\n"),
    ],
)
def test_lines(data: bytes, expected: bytes) -> None:
    assert shown([data], prefix=b"P:") == shown(single_bytes(data), prefix=b"P:") == expected


def test_t9_half_a_line_is_held_until_it_is_whole() -> None:
    prefixer = LinePrefixer(PREFIX)
    assert [prefixer.feed(b"half"), prefixer.feed(b" a li"), prefixer.feed(b"ne\nnext")] == [
        b"",
        b"",
        b"[w0]:half a line\n",
    ]
    assert prefixer.finish() == b"[w0]:next"


def test_a_finish_gives_what_is_held_once() -> None:
    prefixer = LinePrefixer(PREFIX)
    prefixer.feed(b"end")
    assert [prefixer.finish(), prefixer.finish()] == [b"[w0]:end", b""]


def test_without_a_prefix_nothing_is_added() -> None:
    assert shown([b"a\nb", b"c\n"], prefix=b"") == b"a\nbc\n"


@given(chunked())
def test_any_chunking_gives_the_same(chunks: list[bytes]) -> None:
    assert shown(chunks) == shown([b"".join(chunks)])


@given(STREAMS)
def test_single_bytes_give_the_same(data: bytes) -> None:
    assert shown(single_bytes(data)) == shown([data])


@given(chunked(), st.integers(1, 50), st.sampled_from([0.0, 1.0, float("inf")]))
def test_any_chunking_gives_the_same_whatever_the_options(chunks: list[bytes], limit: int, interval: float) -> None:
    whole = shown([b"".join(chunks)], limit=limit, interval=interval)
    assert shown(chunks, limit=limit, interval=interval) == whole


@given(chunked(PLAIN_STREAMS))
def test_without_carriage_returns_nothing_is_lost_or_added(chunks: list[bytes]) -> None:
    assert shown(chunks, prefix=b"") == b"".join(chunks)


@given(chunked(PLAIN_STREAMS.map(lambda data: data.replace(b"[", b"."))))
def test_the_prefix_is_at_each_line_start_and_nowhere_else(chunks: list[bytes]) -> None:
    output = shown(chunks)
    assert output.count(PREFIX) == output.count(b"\n") + (not output.endswith(b"\n") and output != b"")
    assert all(line.startswith(PREFIX) for line in output.split(b"\n") if line)
    assert output.replace(PREFIX, b"") == b"".join(chunks)


@given(chunked())
def test_no_carriage_return_is_shown_within_the_limit(chunks: list[bytes]) -> None:
    assert b"\r" not in shown(chunks, limit=10_000)


# Long lines


def test_a_line_over_the_limit_goes_on_in_pieces_with_one_prefix() -> None:
    prefixer = LinePrefixer(PREFIX, limit=4)
    pieces = [prefixer.feed(chunk) for chunk in (b"abc", b"de", b"fg", b"h\ni", b"\n")]
    assert pieces == [b"", b"[w0]:abcde", b"fg", b"h\n", b"[w0]:i\n"]


@pytest.mark.parametrize(("length", "held"), [(4, True), (5, False)])
def test_the_limit_is_the_longest_line_that_is_held(length: int, held: bool) -> None:
    assert (LineAssembler(limit=4).feed(b"x" * length).data == b"") is held


def test_a_long_line_says_that_it_goes_on() -> None:
    assembler = LineAssembler(limit=4)
    assert assembler.feed(b"abcdef") == Piece(b"abcdef", continues=False, unfinished=True)
    assert assembler.feed(b"gh") == Piece(b"gh", continues=True, unfinished=True)
    assert assembler.feed(b"i\nj\n") == Piece(b"i\nj\n", continues=True, unfinished=False)


def test_the_rest_at_the_end_is_an_unfinished_line() -> None:
    assembler = LineAssembler()
    assert assembler.feed(b"a\nb") == Piece(b"a\n")
    assert assembler.finish() == Piece(b"b", continues=False, unfinished=True)


def test_ten_megabytes_without_a_line_end_pass_in_bounded_memory() -> None:
    assembler = LineAssembler()
    block, given_out = b"x" * 65536, 0
    for number in range(1, 161):
        given_out += len(assembler.feed(block).data)
        assert number * len(block) - given_out <= 65536
    assert len(assembler.finish().data) == 160 * len(block) - given_out


@given(chunked(), st.integers(1, 10))
def test_never_more_than_the_limit_is_held(chunks: list[bytes], limit: int) -> None:
    assembler = LineAssembler(limit, progress_interval=float("inf"))
    for chunk in chunks:
        assembler.feed(chunk)
        assert len(assembler._partial) <= limit
        assert len(assembler._held or b"") <= limit


# Progress


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\r\n", b"a\n"),
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"\r\n", b"\n"),
        (b"a\r\r\n", b"a\n"),
        (b"1%\r2%\r3%\n", b"1%\n3%\n"),
        (b"1%\r2%\r3%\r\n", b"1%\n3%\n"),
        (b"1%\r2%\r", b"1%\n2%"),
        (b"1%\r2%", b"1%\n2%"),
        (b"\r1%\r  \r\n", b"1%\n"),
        (b"1%\r2%\r   \n", b"1%\n2%\n"),
        (b"1%\n2%\r", b"1%\n2%\n"),
        (b"1%\r" + b"x" * 20 + b"\r2%\n", b"1%\n" + b"x" * 20 + b"\r2%\n"),
    ],
)
def test_progress_at_one_moment(data: bytes, expected: bytes) -> None:
    assert shown([data], prefix=b"") == shown(single_bytes(data), prefix=b"") == expected


def test_an_update_is_a_line_with_a_prefix() -> None:
    assert shown([b"1%\r2%\n"]) == b"[w0]:1%\n[w0]:2%\n"


def test_at_most_one_update_an_interval_is_shown() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    seen = [prefixer.feed(b"%d\r" % number, at=100.0 + number / 4) for number in range(10)]
    assert [text for text in seen if text] == [b"0\n", b"4\n", b"8\n"]


def test_the_last_update_is_shown_when_the_line_ends() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    assert [prefixer.feed(text, at=100.0) for text in (b"1%\r", b"2%\r", b"\n")] == [b"1%\n", b"", b"2%\n"]


def test_the_last_update_is_shown_when_the_stream_ends() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    assert [prefixer.feed(text, at=100.0) for text in (b"1%\r", b"2%\r")] == [b"1%\n", b""]
    assert prefixer.finish() == b"2%"


def test_an_update_that_was_shown_is_not_shown_again() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    assert [prefixer.feed(b"1%\r", at=1.0), prefixer.feed(b"2%\r", at=2.0), prefixer.feed(b"\n", at=9.0)] == [
        b"1%\n",
        b"2%\n",
        b"",
    ]
    assert prefixer.finish() == b""


def test_the_interval_spans_lines() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    assert prefixer.feed(b"a1\ra2\n", at=100.0) == b"a1\na2\n"
    assert prefixer.feed(b"b1\rb2\rb3\n", at=100.5) == b"b3\n"


def test_without_an_interval_every_update_is_shown() -> None:
    assert shown([b"1\r2\r3\r"], interval=0.0, prefix=b"") == b"1\n2\n3\n"


def test_the_first_update_is_shown_at_once_whatever_the_clock_says() -> None:
    assert LinePrefixer(b"").feed(b"1%\r", at=0.0) == b"1%\n"


def test_a_flood_of_updates_is_a_trickle() -> None:
    prefixer = LinePrefixer(b"", progress_interval=1.0)
    seen = b"".join(prefixer.feed(b"%d\r" % number, at=number / 1000) for number in range(10_000))
    assert seen.count(b"\n") == 10


# with_prefix


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (Piece(b""), b""),
        (Piece(b"", continues=True), b""),
        (Piece(b"a\nb\n"), b"P:a\nP:b\n"),
        (Piece(b"a\nb\n", continues=True), b"a\nP:b\n"),
        (Piece(b"\n", continues=True), b"\n"),
        (Piece(b"a", unfinished=True), b"P:a"),
    ],
)
def test_with_prefix(piece: Piece, expected: bytes) -> None:
    assert with_prefix(piece, b"P:") == expected


# Several streams on one console


class Screen:
    """Streams 0..n-1 on one console, each with its own assembler and prefix."""

    def __init__(self, nstreams: int, limit: int = LIMIT) -> None:
        self.assemblers = [LineAssembler(limit) for _ in range(nstreams)]
        self.interleaver = Interleaver()
        self.output = b""

    def feed(self, stream: int, data: bytes) -> bytes:
        return self._join(stream, self.assemblers[stream].feed(data))

    def finish(self, stream: int) -> bytes:
        return self._join(stream, self.assemblers[stream].finish())

    def _join(self, stream: int, piece: Piece) -> bytes:
        more = self.interleaver.join(stream, piece, b"<%d>" % stream)
        self.output += more
        return more


def test_whole_lines_are_just_lines() -> None:
    screen = Screen(2)
    assert screen.feed(0, b"a\n") + screen.feed(1, b"b\n") + screen.feed(0, b"c\n") == b"<0>a\n<1>b\n<0>c\n"


def test_a_line_that_is_interrupted_is_ended_and_taken_up_again() -> None:
    screen = Screen(2)
    assert screen.feed(0, b"a" * 8) == b"<0>aaaaaaaa"
    assert screen.feed(1, b"b\n") == b"\n<1>b\n"
    assert screen.feed(0, b"aa") == b"<0>aa"
    assert screen.feed(0, b"a\nc\n") == b"a\n<0>c\n"


def test_a_line_that_was_ended_by_the_interruption_is_not_ended_again() -> None:
    screen = Screen(2)
    screen.feed(0, b"a" * 8)
    screen.feed(1, b"b\n")
    assert screen.feed(0, b"\nc\n") == b"<0>c\n"


def test_two_long_lines_alternate() -> None:
    screen = Screen(2)
    assert [screen.feed(stream, b"%d" % stream * 8) for stream in (0, 1, 0, 1)] == [
        b"<0>00000000",
        b"\n<1>11111111",
        b"\n<0>00000000",
        b"\n<1>11111111",
    ]


def test_an_unfinished_last_line_is_ended_by_the_next_stream() -> None:
    screen = Screen(2)
    screen.feed(0, b"end")
    assert screen.finish(0) + screen.feed(1, b"b\n") == b"<0>end\n<1>b\n"


def test_nothing_to_show_interrupts_nobody() -> None:
    screen = Screen(2)
    screen.feed(0, b"a" * 8)
    assert screen.feed(1, b"held") == b""
    assert screen.feed(0, b"a\n") == b"a\n"


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, bytes]]]:
    """Streams of two to four ranks, each of bytes of its own, and an order in which their chunks arrive."""
    count = draw(st.integers(2, 4))
    texts = st.lists(st.sampled_from([b"\n", b"x", b"xx", b"x" * 9]), max_size=6).map(b"".join)
    streams = [chunk_of(number, draw(texts)) for number in range(count)]
    waiting = [draw(chunked(st.just(stream))) for stream in streams]
    arrivals: list[tuple[int, bytes]] = []
    while any(waiting):
        number = draw(st.sampled_from([number for number in range(count) if waiting[number]]))
        arrivals.append((number, waiting[number].pop(0)))
    return streams, arrivals


def chunk_of(number: int, text: bytes) -> bytes:
    return text.replace(b"x", bytes([ord("a") + number]))


@given(interleavings())
def test_no_line_stands_inside_another(case: tuple[list[bytes], list[tuple[int, bytes]]]) -> None:
    streams, arrivals = case
    screen = screen_after(streams, arrivals)
    for line in screen.output.split(b"\n"):
        letters = set(line[3:])
        number = line[1] - ord("0") if line else None
        assert not line or (line[:1], line[2:3]) == (b"<", b">")
        assert number is None or letters <= {ord("a") + number}


@given(interleavings())
def test_every_stream_can_be_told_from_the_console(case: tuple[list[bytes], list[tuple[int, bytes]]]) -> None:
    streams, arrivals = case
    screen = screen_after(streams, arrivals)
    for number, stream in enumerate(streams):
        of_stream = [line[3:] for line in screen.output.split(b"\n") if line.startswith(b"<%d>" % number)]
        assert b"".join(of_stream) == stream.replace(b"\n", b"")


@given(interleavings())
def test_lines_within_the_limit_are_shown_unbroken(case: tuple[list[bytes], list[tuple[int, bytes]]]) -> None:
    streams, arrivals = case
    screen = screen_after(streams, arrivals, limit=10_000)
    for number, stream in enumerate(streams):
        of_stream = [line[3:] for line in screen.output.split(b"\n") if line.startswith(b"<%d>" % number)]
        assert of_stream == lines_of(stream)


@given(interleavings())
def test_the_line_ends_inserted_are_the_interruptions(case: tuple[list[bytes], list[tuple[int, bytes]]]) -> None:
    """Each line of a stream is shown as one line, plus one for each time it was taken up again."""
    streams, arrivals = case
    screen = screen_after(streams, arrivals)
    for number, stream in enumerate(streams):
        pieces = [line[3:] for line in screen.output.split(b"\n") if line.startswith(b"<%d>" % number)]
        assert joined(pieces, lines_of(stream)) == lines_of(stream)


def screen_after(streams: Sequence[bytes], arrivals: Iterable[tuple[int, bytes]], limit: int = LIMIT) -> Screen:
    """The console after all of ``arrivals`` and the ends of the streams."""
    screen = Screen(len(streams), limit)
    for number, chunk in arrivals:
        screen.feed(number, chunk)
    for number in range(len(streams)):
        screen.finish(number)
    return screen


def lines_of(stream: bytes) -> list[bytes]:
    return stream.removesuffix(b"\n").split(b"\n") if stream else []


def joined(pieces: list[bytes], lines: list[bytes]) -> list[bytes]:
    """``pieces`` put together, as many as each of ``lines`` needs."""
    waiting = list(pieces)
    found = []
    for line in lines:
        text = waiting.pop(0) if waiting else b"(missing)"
        while len(text) < len(line) and waiting:
            text += waiting.pop(0)
        found.append(text)
    return found + waiting
