"""The last output of one stream, kept for failures, snapshots and late subscribers."""

from __future__ import annotations

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
        """What is remembered, from the beginning of a line on if one begins there; the last may be unfinished."""
        begin = self._kept.find(b"\n") + 1 if self._truncated else 0
        return bytes(self._kept[begin:] or self._kept)

    def last_lines(self, count: int) -> str:
        """The last ``count`` lines as text, as a console would show them (no superseded progress updates)."""
        lines = self.whole_lines().removesuffix(b"\n").split(b"\n")[-count:]
        return "\n".join(_last_update(line).decode(errors="replace") for line in lines)


def _last_update(line: bytes) -> bytes:
    """What carriage returns have left of ``line``."""
    updates = [update for update in line.split(b"\r") if update.strip()]
    return updates[-1] if updates else line.rstrip(b"\r")
