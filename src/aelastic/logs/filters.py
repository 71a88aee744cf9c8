"""The lines of all ranks that contain one of a few strings, in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.decide.escapes import PlainLineAssembler
from aelastic.decide.lines import LineAssembler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aelastic.logs.files import LogFile


class LineFilter:
    """Writes to ``file`` the lines that contain any of ``needles``. ``plain``: without escape sequences."""

    def __init__(self, file: LogFile, needles: Sequence[str], *, plain: bool = True) -> None:
        self.file = file
        self.needles = tuple(needle.encode() for needle in needles)
        self.plain = plain

    def stream(self, prefix: str) -> FilterStream:
        """A stream whose lines begin with ``prefix``."""
        return FilterStream(self, prefix)


class FilterStream:
    """One stream of one rank that passes through a filter.

    Lines are matched without their prefix; one longer than the assembler holds is matched piece by piece.
    """

    def __init__(self, line_filter: LineFilter, prefix: str) -> None:
        self._filter = line_filter
        self._prefix = prefix.encode()
        self._assembler = (PlainLineAssembler if line_filter.plain else LineAssembler)(progress_interval=0)

    async def feed(self, block: bytes, at: float) -> None:
        """Take bytes of the stream, read at ``at``."""
        await self._take(self._assembler.feed(block, at).data)

    async def finish(self) -> None:
        """The stream is over."""
        await self._take(self._assembler.finish().data)

    async def _take(self, data: bytes) -> None:
        if data and self._matches(data):
            lines = data.removesuffix(b"\n").split(b"\n")
            matching = [self._prefix + line + b"\n" for line in lines if self._matches(line)]
            await self._filter.file.write(b"".join(matching))

    def _matches(self, data: bytes) -> bool:
        return any(needle in data for needle in self._filter.needles)
