"""What a rank says of itself: one datagram of systemd's notify protocol, and two fields of ours. Pure.

Fields that are unknown or make no sense are passed over, as systemd does; a rank can say nothing that is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

LARGEST = 4096  # bytes of a datagram, as in systemd; a larger one is none
_LONGEST_STATUS = 1000
_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?"
_PROGRESS = re.compile(f"({_NUMBER})/({_NUMBER})?")
_DUMP = re.compile("([1-9][0-9]{0,9}) ([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class StackDump:
    """The process ``pid`` prints its stacks when it gets ``signal``."""

    pid: int
    signal: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What one datagram says.

    ``triggered``: the rank declares itself hung. ``watchdog``: seconds between heartbeats from now on. ``progress``:
    steps done, and how many there are, if anybody knows.
    """

    ready: bool = False
    stopping: bool = False
    beat: bool = False
    triggered: bool = False
    status: str | None = None
    progress: tuple[float, float | None] | None = None
    watchdog: float | None = None
    dump: StackDump | None = None


def parse_notice(datagram: bytes) -> Notice:
    """Understand what can be understood."""
    if len(datagram) > LARGEST:
        return Notice()
    lines = datagram.decode("utf-8", "replace").split("\n")
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    status, beat = fields.get("STATUS"), fields.get("WATCHDOG")
    return Notice(
        ready=fields.get("READY") == "1",
        stopping=fields.get("STOPPING") == "1",
        beat=beat == "1",
        triggered=beat == "trigger",
        status=None if status is None else printable(status),
        progress=_progress(fields.get("X_AELASTIC_PROGRESS", "")),
        watchdog=_microseconds(fields.get("WATCHDOG_USEC", "")),
        dump=_dump(fields.get("X_AELASTIC_DUMP", "")),
    )


def printable(text: str) -> str:
    """``text`` without what could move a terminal's cursor or hide something, and not too long."""
    return "".join(character for character in text if character.isprintable())[:_LONGEST_STATUS]


def _progress(text: str) -> tuple[float, float | None] | None:
    match = _PROGRESS.fullmatch(text)
    if match is None:
        return None
    done, total = float(match[1]), None if match[2] is None else float(match[2])
    return (done, total) if math.isfinite(done) and math.isfinite(total or 0.0) else None


def _microseconds(text: str) -> float | None:
    return int(text) / 1e6 if re.fullmatch("[0-9]{1,15}", text) and int(text) else None


def _dump(text: str) -> StackDump | None:
    match = _DUMP.fullmatch(text)
    return StackDump(int(match[1]), int(match[2])) if match else None
