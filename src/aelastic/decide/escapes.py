"""Text without what makes a terminal do something. Pure: any chunking of the same bytes gives the same output.

What goes: escape sequences whole (colours, cursor movement, titles, images, …) and control characters, all but tab,
line feed and carriage return. The grammar is ECMA-48's and xterm's; the bytes are taken as UTF-8, so that the 8-bit
controls U+0080 to U+009F go, too. A sequence that is broken off ends where it is, and at the end of its line (or
progress update) at the latest: nothing behind that is swallowed.
"""

from __future__ import annotations

import re

from aelastic.decide.lines import LONGEST_HELD_LINE, PROGRESS_INTERVAL, LineAssembler, Piece

_CONTROLS = (*range(0x09), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F)
_ENDERS = b"\a\x18\x1a"  # BEL, CAN, SUB: they end a sequence, as the string terminator does
_INERT = bytes(set(_CONTROLS) - {*_ENDERS, *b"\x1b"})
_TERMINATOR = b"\x1b\\"

_CONTROL_8_BIT = re.compile(rb"\xc2([\x80-\x9f])")
_CONTROL_8_BIT_PERHAPS = re.compile(rb"\xc2(?:[\x80-\x9f]|\Z)")

# Of control sequences, strings, and the rest; ``(?!\Z)`` is where the next byte shows that one is broken off. Behind
# the last byte: continuation bytes that could now become the rest of an 8-bit control; no UTF-8 has them there.
_SEQUENCE = re.compile(
    rb"""\x1b(?:
        \[ [0-?]*+ [ -/]*+ (?: [@-~] | (?!\Z) )
      | [PX\]^_] [^\x1b\r\n]*+ (?: \x1b\\ | (?!\x1b?\Z) )
      | [ -/]++ (?: [0-~] | (?!\Z) )
      | [0-OQ-WYZ\\`-~]
      | (?=[^ -~])
    )[\x80-\x9f]*+""",
    re.VERBOSE,
)


class EscapeStripper:
    """Takes the escape sequences and control characters out of one stream."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = b""  # what may be the beginning of a sequence, shortened: the next bytes decide

    def feed(self, data: bytes) -> bytes:
        """Take bytes; give what is text of them and of what was held back. Mere text is not even copied."""
        if not self._begun and not _is_suspect(data):
            return data
        return self._strip(self._begun + _simplified(data))

    def finish(self) -> bytes:
        """The stream is over: give what looked like a beginning and was text."""
        rest = self._begun if self._begun == b"\xc2" else b""
        self._begun = b""
        return rest

    def _strip(self, data: bytes) -> bytes:
        *texts, last = _SEQUENCE.split(_CONTROL_8_BIT.sub(_in_7_bits, data))
        begin = last.find(b"\x1b")  # one that has no end yet
        if begin >= 0:
            last, self._begun = last[:begin], _shortened(last[begin:])
        elif last.endswith(b"\xc2"):
            last, self._begun = last[:-1], b"\xc2"
        else:
            self._begun = _TERMINATOR if texts and not last else b""  # what must not follow a sequence may come yet
        return b"".join((*texts, last))


class PlainLineAssembler(LineAssembler):
    """Assembles lines of text: as a ``LineAssembler`` does, without escape sequences and control characters.

    In a line that is too long to be held, where updates can no longer be told apart, a carriage return is a space.
    """

    __slots__ = ("_stripper",)

    def __init__(self, limit: int = LONGEST_HELD_LINE, progress_interval: float = PROGRESS_INTERVAL) -> None:
        super().__init__(limit, progress_interval)
        self._stripper = EscapeStripper()

    def feed(self, data: bytes, at: float = 0.0) -> Piece:
        """Take bytes that were read at ``at``; give what can be shown now."""
        return _without_returns(super().feed(self._stripper.feed(data), at))

    def finish(self) -> Piece:
        """The stream is over: give what was held back."""
        begin, end = super().feed(self._stripper.finish()), super().finish()
        data = begin.data + end.data
        return Piece(data, begin.continues, bool(data))


def _is_suspect(data: bytes) -> bool:
    """Whether there may be something to strip. ``in`` is so fast that thirty of them are the fastest way to know."""
    if any(map(data.__contains__, _CONTROLS)):
        return True
    return b"\xc2" in data and _CONTROL_8_BIT_PERHAPS.search(data) is not None


def _simplified(data: bytes) -> bytes:
    """``data`` with ESC as its only control character."""
    data = data.translate(None, _INERT)
    for ender in _ENDERS:
        data = data.replace(bytes((ender,)), _TERMINATOR)
    return data


def _in_7_bits(control: re.Match[bytes]) -> bytes:
    """ESC and a letter, which is the same."""
    return b"\x1b" + bytes((control[1][0] - 0x40,))


def _shortened(begun: bytes) -> bytes:
    """A sequence that goes on like ``begun``: its first two bytes tell the kind, the last one how far it is."""
    return begun if len(begun) < 3 else begun[:2] + begun[-1:]


def _without_returns(piece: Piece) -> Piece:
    if b"\r" not in piece.data:
        return piece
    return Piece(piece.data.replace(b"\r", b" "), piece.continues, piece.unfinished)
