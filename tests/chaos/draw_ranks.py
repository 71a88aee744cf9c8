"""What the ranks of a gang will do: a mood for all, vices for each."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.chaos.plan import LONG, RankPlan, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.chance import Draw
    from tests.chaos.plan import Home

MOODS = {"good": 5, "duel": 4, "flood": 2, "anything": 9}
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

_ENDS: Mapping[str, Sequence[int]] = {  # how, and the exit codes to choose from
    "exit": [1, 2, 3, 77, 255],
    "_exit": [1, 9, 254],
    "signal": [-number for number in DEADLY],
    "raise": [1],
}
_PROGRAM_ENDS: Mapping[str, Sequence[int]] = {**_ENDS, "record": [1]}
_FUNCTION_ENDS: Mapping[str, Sequence[int]] = {"_exit": [0], "unpicklable": [1], "loads badly": [0]}
_REPORTS = ("empty", "truncated", "binary", "nested", "large", "text", "fifo", "directory", "endless")
_CLEAR = 1.0  # seconds between a first failure and the next in a duel


def draw_ranks(draw: Draw, size: int, home: Home, mood: str, departures: Sequence[str]) -> tuple[RankPlan, ...]:
    """``size`` ranks in a ``mood``; ``departures``: the steps by which what they start may leave them.

    "good": all end well; "duel": one fails clearly before all others; "flood": they write as much as they can, and
    end; "anything": each as it likes.
    """
    loser = draw.number(size - 1)
    ranks = []
    for rank in range(size):
        if mood == "flood":
            steps = _draw_flood(draw, rank, home)
        else:
            vices = _draw_vices(draw, rank, departures)
            steps = [*vices, *_draw_end(draw, home, mood, first=rank == loser)]
        ranks.append(RankPlan(tuple(steps)))
    return tuple(ranks)


def _draw_flood(draw: Draw, rank: int, home: Home) -> list[Step]:
    sayings = [_draw_saying(draw, draw.pick([1, 2]), rank, turn, size=700_000) for turn in range(1 + draw.number(2))]
    return [*sayings, _good_end(draw, home) if draw.chance(0.9) else _bad_end(draw, home)]


def _draw_end(draw: Draw, home: Home, mood: str, *, first: bool) -> list[Step]:
    if mood == "duel" and first:
        return [Step("rest", {"seconds": draw.seconds(0.4)}), _bad_end(draw, home)]
    if mood == "duel":
        later = Step("rest", {"seconds": _CLEAR + draw.seconds(0.4)})
        return [later, _bad_end(draw, home)] if draw.chance(0.5) else _never(draw)
    if mood == "good" or draw.chance(0.6):
        return [*_pause(draw), _good_end(draw, home)]
    return [*_pause(draw), _bad_end(draw, home)] if draw.chance(0.5) else _never(draw)


def _pause(draw: Draw) -> list[Step]:
    """None, often: an end right after the last word."""
    return [Step("rest", {"seconds": draw.seconds(0.6)})] if draw.chance(0.6) else []


def _draw_vices(draw: Draw, rank: int, departures: Sequence[str]) -> list[Step]:
    """In any order; a rank whose children write to its standard error leaves that to them."""
    writes = draw.chance(0.08)
    streams = [1] if writes else [1, 2]
    steps = [_draw_saying(draw, draw.pick(streams), rank, turn) for turn in range(draw.pick([0, 0, 1, 1, 2, 3]))]
    if draw.chance(0.2):
        steps.insert(draw.number(len(steps)), Step("rest", {"seconds": draw.seconds(0.2)}))
    if draw.chance(0.1):
        steps.insert(draw.number(len(steps)), Step("ignore", {"numbers": [signal.SIGTERM, signal.SIGINT]}))
    if writes or draw.chance(0.1):
        steps.append(Step("leave_children", {"count": 1 + draw.number(2), "write": writes}))
    if "let_escape" in departures and draw.chance(0.12):
        steps.append(Step("let_escape", {"hold": draw.chance(0.3)}))
    if "detach" in departures and draw.chance(0.03):
        steps.append(Step("detach"))
    if draw.chance(0.08):
        steps.append(Step("report", {"kind": draw.pick(_REPORTS)}))
    return steps


def _draw_saying(draw: Draw, stream: int, rank: int, turn: int, size: int | None = None) -> Step:
    """``size`` None: any, and perhaps slowly."""
    kind = draw.weigh({"lines": 5, "unended": 2, "long": 2, "binary": 2, "progress": 1})
    salt = 10_000 + rank * 100 + stream * 10 + turn
    pause = 0 if size else draw.pick([0, 0, 0.01])
    size = size or draw.weigh({10: 2, 1000: 4, 70_000: 2, 500_000: 1})
    return Step("say", {"stream": stream, "kind": kind, "size": size, "salt": salt, "pause": pause})


def _good_end(draw: Draw, home: Home) -> Step:
    if home == "program":
        return Step("end", {"how": draw.pick(["exit", "_exit", "fall off"])})
    if draw.chance(0.2):
        return Step("end", {"how": "exit"})
    return Step("end", {"how": "value", "size": draw.weigh({0: 3, 5000: 2, 3_000_000: 1}), "salt": draw.number(1000)})


def _bad_end(draw: Draw, home: Home) -> Step:
    ends = _PROGRAM_ENDS if home == "program" else _FUNCTION_ENDS if draw.chance(0.3) else _ENDS
    how = draw.pick(list(ends))
    return Step("end", {"how": how, "code": draw.pick(ends[how])})


def _never(draw: Draw) -> list[Step]:
    """An end that comes only by a signal; a frozen rank that is continued ends well."""
    never = Step("freeze") if draw.chance(0.25) else Step("rest", {"seconds": LONG})
    return [never, Step("end", {"how": "_exit", "code": 7})]
