"""From bytes to whole, prefixed lines. Pure: any chunking of the same bytes gives the same output.

What a console, a filter or a subscriber sees of a stream; the log file has the raw bytes.

- A line is handed on when it is complete, or at the end of the stream.
- A line longer than the limit is handed on in pieces, its prefix once, so that memory stays bounded.
- Text ended by a carriage return is a progress update: shown as a line of its own, at most one per interval, and
  the last one when the line ends. Blank updates are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_HELD_LINE = 64 * 1024
PROGRESS_INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to show. ``continues``: they begin inside a line; ``unfinished``: they end inside one."""

    data: bytes
    continues: bool = False
    unfinished: bool = False


class LineAssembler:
    """Assembles the lines of one stream.

    ``limit`` is in bytes; ``progress_interval`` and the ``at`` of ``feed`` are in seconds of one clock.
    """

    __slots__ = ("_held", "_limit", "_open", "_partial", "_progress", "_progress_interval", "_shown", "_shown_at")

    def __init__(self, limit: int = LONGEST_HELD_LINE, progress_interval: float = PROGRESS_INTERVAL) -> None:
        self._limit = limit
        self._progress_interval = progress_interval
        self._partial = b""  # the text since the last line end or carriage return
        self._open = False  # the line is too long to be held: the rest of it passes through
        self._progress = False  # the line has had a carriage return
        self._held: bytes | None = None  # the last update, while it is not shown
        self._shown = False  # an update of this line was shown
        self._shown_at: float | None = None

    def feed(self, data: bytes, at: float = 0.0) -> Piece:
        """Take bytes that were read at ``at``; give what can be shown now."""
        continues = self._open
        out: list[bytes] = []
        if self._open:
            data = self._pass_through(data, out)
        if data and (self._progress or b"\r" in data):
            self._feed_progress(data, at, out)
        elif data:
            self._feed_plain(data, out)
        return Piece(b"".join(out), continues, self._open)

    def finish(self) -> Piece:
        """The stream is over: give what was held back, without a line end where the stream had none."""
        rest = self._partial if self._partial.strip() or not self._progress else self._held or b""
        piece = Piece(rest, self._open, bool(rest))
        self._partial, self._held = b"", None
        return piece

    def _pass_through(self, data: bytes, out: list[bytes]) -> bytes:
        """Hand on the rest of a line that is too long to be held; what follows it is returned."""
        end = data.find(b"\n") + 1
        out.append(data[:end] if end else data)
        if not end:
            return b""
        self._open = self._progress = self._shown = False
        return data[end:]

    def _feed_plain(self, data: bytes, out: list[bytes]) -> None:
        end = data.rfind(b"\n") + 1
        if end:
            out += (self._partial, data[:end])
            self._partial = data[end:]
        else:
            self._partial += data
        self._open_if_long(out)

    def _feed_progress(self, data: bytes, at: float, out: list[bytes]) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._extend(line, at, out)
            self._end_line(out)
        self._extend(rest, at, out)

    def _extend(self, text: bytes, at: float, out: list[bytes]) -> None:
        """Take text without a line end."""
        segments = text.split(b"\r")
        for index, segment in enumerate(segments):
            self._partial += segment
            if self._open_if_long(out):
                out.append(b"".join(b"\r" + later for later in segments[index + 1 :]))
                return
            if index < len(segments) - 1:
                self._update(at, out)

    def _update(self, at: float, out: list[bytes]) -> None:
        """A carriage return: the text before it is a progress update."""
        text, self._partial, self._progress = self._partial, b"", True
        if not text.strip():
            return
        if self._shown_at is None or at - self._shown_at >= self._progress_interval:
            out += (text, b"\n")
            self._held, self._shown, self._shown_at = None, True, at
        else:
            self._held = text

    def _end_line(self, out: list[bytes]) -> None:
        if self._open or not self._progress or self._partial.strip():
            out += (self._partial, b"\n")
        elif self._held is not None or not self._shown:
            out += (self._held or b"", b"\n")
        self._partial, self._held = b"", None
        self._open = self._progress = self._shown = False

    def _open_if_long(self, out: list[bytes]) -> bool:
        if len(self._partial) > self._limit:
            out.append(self._partial)
            self._partial, self._held, self._open = b"", None, True
        return self._open


def with_prefix(piece: Piece, prefix: bytes) -> bytes:
    """The bytes of ``piece`` with ``prefix`` in front of each line that begins in it."""
    if not piece.data or not prefix:
        return piece.data
    ends = piece.data.endswith(b"\n")
    body = piece.data[:-1] if ends else piece.data
    body = body.replace(b"\n", b"\n" + prefix)
    return b"".join((b"" if piece.continues else prefix, body, b"\n" if ends else b""))


class LinePrefixer:
    """Bytes of one stream in, prefixed bytes out."""

    __slots__ = ("_assembler", "_prefix")

    def __init__(
        self, prefix: bytes, limit: int = LONGEST_HELD_LINE, progress_interval: float = PROGRESS_INTERVAL
    ) -> None:
        self._prefix = prefix
        self._assembler = LineAssembler(limit, progress_interval)

    def feed(self, data: bytes, at: float = 0.0) -> bytes:
        """Take bytes that were read at ``at``; give what can be shown now."""
        return with_prefix(self._assembler.feed(data, at), self._prefix)

    def finish(self) -> bytes:
        """The stream is over: give what was held back."""
        return with_prefix(self._assembler.finish(), self._prefix)


class Interleaver:
    """Puts the pieces of several streams onto one console so that no line stands inside another.

    A line that is still open when another stream speaks is ended there, and prefixed again when it goes on.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: object = None

    def join(self, stream: object, piece: Piece, prefix: bytes) -> bytes:
        """The bytes that show ``piece`` of ``stream`` now."""
        if not piece.data:
            return b""
        interrupted = self._open is not None and self._open != stream
        continues = piece.continues and self._open == stream
        if piece.continues and not continues and piece.data.startswith(b"\n"):
            shown = with_prefix(Piece(piece.data[1:]), prefix)  # the interruption has ended the line already
        else:
            shown = with_prefix(Piece(piece.data, continues), prefix)
        self._open = stream if piece.unfinished else None
        return (b"\n" if interrupted else b"") + shown
