"""The last output of one stream, kept for failures, snapshots and late subscribers."""

from __future__ import annotations

from aelastic.decide.lines import LineAssembler

KEPT = 16 * 1024


class History:
    """At least the last ``KEPT`` bytes of a stream, or all of it while it is shorter."""

    __slots__ = ("_kept", "_truncated", "at")

    def __init__(self) -> None:
        self._kept = bytearray()
        self._truncated = False
        self.at = 0.0  # when the last bytes were read

    def add(self, block: bytes, at: float) -> None:
        """Remember ``block``, read at ``at``."""
        self.at = at
        self._kept += block[-KEPT:]
        if len(block) > KEPT or len(self._kept) > 2 * KEPT:
            self._truncated = True
            del self._kept[:-KEPT]

    def whole_lines(self) -> bytes:
        """What is remembered, from the beginning of a line on; the last line may be unfinished."""
        begin = self._kept.find(b"\n") + 1 if self._truncated else 0
        return bytes(self._kept[begin:])

    def last_lines(self, count: int) -> str:
        """The last ``count`` lines as text, as a console would show them (no superseded progress updates)."""
        assembler = LineAssembler(progress_interval=float("inf"))
        shown = assembler.feed(self.whole_lines()).data + assembler.finish().data
        return "\n".join(shown.decode(errors="replace").splitlines()[-count:])
