"""Where the lines of a console go: the descriptor behind a text stream, or the stream itself."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import stat
from typing import Protocol, TextIO


class Destination(Protocol):
    """Takes bytes. ``write`` may block, and raises whatever the stream behind it raises."""

    def write(self, data: memoryview) -> int:
        """Write some of ``data``; how many bytes."""

    def close(self) -> None:
        """Give up what was acquired."""


class _Descriptor:
    """A duplicate of the descriptor behind ``stream``, whose owner may close or replace it."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._descriptor = os.dup(stream.fileno())
        self.regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._unflushed: io.TextIOWrapper | None = stream  # what the application has printed comes first

    def write(self, data: memoryview) -> int:
        if self._unflushed is not None:
            with contextlib.suppress(OSError, ValueError):
                self._unflushed.flush()
            self._unflushed = None
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # somebody has made it non-blocking
                _wait_writable(self._descriptor, None)

    def close(self) -> None:
        os.close(self._descriptor)


class _Text:
    """A text stream that is not simply a descriptor's: a notebook's, a test's, a colouring wrapper."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: memoryview) -> int:
        self._show(self._decoder.decode(data))
        return len(data)

    def close(self) -> None:
        """Show a character that was never completed. The stream is its owner's."""
        with contextlib.suppress(Exception):
            self._show(self._decoder.decode(b"", final=True))

    def _show(self, text: str) -> None:
        self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
        self._stream.flush()


class _Nowhere:
    """What there is in place of an absent or closed stream; ``problem`` is raised when it is written to."""

    def __init__(self, problem: Exception | None) -> None:
        self._problem = problem

    def write(self, data: memoryview) -> int:
        if self._problem is not None:
            raise self._problem
        return len(data)

    def close(self) -> None:
        """Nothing was acquired."""


def destination_of(stream: TextIO | None) -> Destination:
    """Where ``stream`` leads. A wrapper around another stream may have that one's descriptor, and is not asked."""
    if stream is None:
        return _Nowhere(None)  # as ``print`` does
    if not isinstance(stream, io.TextIOWrapper):
        return _Text(stream)
    try:
        return _Descriptor(stream)
    except io.UnsupportedOperation:
        return _Text(stream)  # in memory
    except (OSError, ValueError) as error:
        return _Nowhere(error)  # closed, and the number of its descriptor may soon be somebody else's


def is_regular_file(destination: Destination) -> bool:
    """Whether nobody has to read what is written to ``destination`` before more can be written."""
    return isinstance(destination, _Descriptor) and destination.regular


def lead_to_the_same(one: TextIO | None, other: TextIO | None) -> bool:
    """Whether lines on ``one`` and ``other`` could get into each other's way, as after ``2>&1``."""
    if one is other:
        return True
    try:
        return one is not None and other is not None and os.path.sameopenfile(one.fileno(), other.fileno())
    except (AttributeError, OSError, ValueError):
        return False


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a terminal shows what is written to ``stream``, as far as it says."""
    try:
        return stream is not None and bool(stream.isatty())
    except (AttributeError, OSError, ValueError):
        return False


def takes_more(stream: TextIO | None) -> bool:
    """Whether writing a line to ``stream`` would not block now, as far as can be seen."""
    try:
        return stream is not None and _wait_writable(stream.fileno(), 0)
    except (AttributeError, OSError, ValueError):
        return True


def _wait_writable(descriptor: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(timeout))
