"""What has happened lately, in numbered portions that many readers can follow, each at its own pace. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from aelastic.std import Std
from aelastic.web.shares import last_fairly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from aelastic.events import Event, LogLine

LINES_PER_PORTION = 400
LONGEST_TEXT = 2000
_LINES, _CHARACTERS, _EVENTS, _PORTIONS = 50_000, 8 * 1024 * 1024, 20_000, 10_000
_ENCODINGS = 16


@dataclass(frozen=True, slots=True)
class Portion:
    """Lines and events that came at about the same time.

    ``number`` counts portions from 1. ``passed`` counts the lines up to its end, and ``missed`` those of them that
    nobody has after the portion before. ``old``: it begins with what was there before anybody looked.
    """

    number: int
    passed: int
    lines: tuple[LogLine, ...]
    events: tuple[Event, ...]
    missed: int
    old: bool

    @property
    def characters(self) -> int:
        """Of all its lines."""
        return sum(len(line.text) for line in self.lines)


class Ring:
    """The last portions, as many as there is room for."""

    def __init__(self) -> None:
        self._portions: deque[Portion] = deque()
        self._lines = self._characters = self._events = 0
        self._number = self._passed = 0
        self._encodings: dict[tuple[int, frozenset[int] | None], bytes] = {}

    @property
    def newest(self) -> int:
        """The number of the last portion, 0 before the first."""
        return self._number

    def add(
        self, lines: Sequence[LogLine] = (), events: Sequence[Event] = (), missed: int = 0, *, old: bool = False
    ) -> None:
        """Make a portion of these; the oldest have to go."""
        self._number += 1
        self._passed += len(lines) + missed
        portion = Portion(self._number, self._passed, tuple(lines), tuple(events), missed, old)
        self._portions.append(portion)
        self._lines += len(lines)
        self._characters += portion.characters
        self._events += len(events)
        while len(self._portions) > 1 and self._is_too_full:
            oldest = self._portions.popleft()
            self._lines -= len(oldest.lines)
            self._characters -= oldest.characters
            self._events -= len(oldest.events)

    @property
    def _is_too_full(self) -> bool:
        too_much_text = self._lines > _LINES or self._characters > _CHARACTERS
        return too_much_text or self._events > _EVENTS or len(self._portions) > _PORTIONS

    def after(self, number: int) -> Portion | None:
        """The portion that follows ``number``, or the oldest one if that is later."""
        if number >= self._number:
            return None
        return self._portions[max(0, number - self._portions[0].number + 1)]

    def passed_before(self, portion: Portion) -> int:
        """How many lines there were before this portion."""
        return portion.passed - portion.missed - len(portion.lines)

    def recent(self, lines: int) -> int:
        """The number of a portion after which there are about ``lines`` lines, so that a reader may begin there."""
        number = self._number
        for portion in reversed(self._portions):
            lines -= len(portion.lines)
            if lines < 0 and number < self._number:
                break
            number = portion.number - 1
        return number

    def encode(self, portion: Portion, ranks: frozenset[int] | None) -> bytes:
        """The portion as JSON, with the lines of ``ranks`` only (None: of all). Made once for all who want the same."""
        key = portion.number, ranks
        if key not in self._encodings:
            if len(self._encodings) >= _ENCODINGS:
                del self._encodings[next(iter(self._encodings))]
            self._encodings[key] = msgspec.json.encode(_as_message(portion, ranks))
        return self._encodings[key]


def _as_message(portion: Portion, ranks: frozenset[int] | None) -> dict[str, Any]:
    wanted = portion.lines if ranks is None else [line for line in portion.lines if line.rank in ranks]
    shown, left_out = last_fairly(wanted, LINES_PER_PORTION)
    return {
        "lines": [_as_row(line) for line in shown],
        "dropped": {} if portion.old else {str(rank): count for rank, count in left_out.items()},
        "missed": portion.missed,
        "events": [{**event.to_dict(), "text": str(event)} for event in portion.events],
    }


def _as_row(line: LogLine) -> tuple[int, int, float, str]:
    text = line.text
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]} … {len(text) - LONGEST_TEXT} more characters"
    return line.rank, 1 if line.stream is Std.OUT else 2, line.time, text
