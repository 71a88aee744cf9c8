"""From a seed, and from nothing else, to a plan."""

from __future__ import annotations

import random
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from aelastic import Std
from tests.chaos.plan import LONG, Act, GangPlan, Home, LogsPlan, RankPlan, ScenePlan, Spectator, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")

_SIZES = (1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12)
_HOMES: Mapping[Home, int] = {"program": 14, "spawn": 5, "fork": 2, "forkserver": 2}
_MOODS = {"good": 5, "duel": 4, "anything": 9}
_ACTS = {
    "waits": 9, "closes": 3, "closes twice": 2, "cancels": 3, "cancels twice": 3, "cancels the start": 3, "scope": 3,
    "times out": 1, "raises": 1, "requests a stop": 2, "stops the start": 2, "signals": 3, "polls": 2, "drops": 1,
}  # fmt: skip
_DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_ENDS: Mapping[str, Sequence[int]] = {  # how, and the exit codes to choose from
    "exit": [1, 2, 3, 77, 255],
    "_exit": [1, 9, 254],
    "signal": [-number for number in _DEADLY],
    "raise": [1],
}
_PROGRAM_ENDS: Mapping[str, Sequence[int]] = {**_ENDS, "record": [1]}
_FUNCTION_ENDS: Mapping[str, Sequence[int]] = {"_exit": [0], "unpicklable": [1], "loads badly": [0]}
_SENT = (*_DEADLY, signal.SIGSTOP, signal.SIGCONT, signal.SIGUSR2)
_REPORTS = ("empty", "truncated", "binary", "nested", "large", "text", "fifo", "directory", "endless")
_BREAKABLE: Mapping[Home, list[str]] = {
    "program": ["program"],
    "spawn": ["argument"],
    "fork": [],
    "forkserver": ["argument"],
}
_CLEAR = 1.0  # seconds between a first failure and the next in a duel


class Draw:
    """Chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, values: Sequence[_T]) -> _T:
        """One of ``values``."""
        return self._random.choice(values)

    def weigh(self, weights: Mapping[_T, int]) -> _T:
        """One of the keys, as often as their weights say."""
        return self._random.choices(list(weights), list(weights.values()))[0]

    def chance(self, probability: float) -> bool:
        """Whether something happens."""
        return self._random.random() < probability

    def seconds(self, most: float) -> float:
        """A time; short ones are more frequent."""
        return round(self._random.random() ** 2 * most, 4)

    def number(self, most: int) -> int:
        """0 to ``most``."""
        return self._random.randint(0, most)


def draw_scene(seeds: Sequence[int], *, escapees: bool = False) -> ScenePlan:
    """The scene of ``seeds``: what each of them stands for, all at the same time."""
    gangs: list[GangPlan] = []
    eager = False
    for seed in seeds:
        draw = Draw(seed)
        eager = eager or draw.chance(0.1)
        count = draw.weigh({1: 8, 2: 2, 3: 1})
        gangs += [_draw_gang(draw, f"s{seed}-{number}-", escapees=escapees) for number in range(count)]
    return ScenePlan(tuple(seeds), tuple(gangs), eager)


def _draw_gang(draw: Draw, name: str, *, escapees: bool) -> GangPlan:
    home = draw.weigh(_HOMES)
    size = draw.pick(_SIZES) if home == "program" else 1 + draw.number(4)
    ranks = _draw_ranks(draw, size, home, escapees=escapees)
    asynchronous = home != "program" and draw.chance(0.3)
    act = _draw_act(draw, size)
    stopped = act.kind == "signals" and act.signal == signal.SIGSTOP
    options = _draw_options(draw, stubborn=stopped or any(rank.has("freeze", "ignore") for rank in ranks))
    logs = _draw_logs(draw, size)
    spectators = tuple(
        Spectator(draw.pick(["events", "logs"]), draw.pick([0, 0, 1, 3, 20])) for _ in range(draw.pick([0, 0, 1, 2]))
    )
    broken = draw.pick(["logs", *_BREAKABLE[home]]) if draw.chance(0.04) else ""
    gang = GangPlan(name, home, asynchronous, ranks, logs, Act("waits", 0), options, spectators, broken)
    return _with_act(gang, act)


def _with_act(gang: GangPlan, act: Act) -> GangPlan:
    """A gang that never ends needs somebody who ends it."""
    if act.kind == "waits" and not gang.ends_by_itself:
        act = Act("polls", act.at)
    return replace(gang, act=act)


def _draw_act(draw: Draw, size: int) -> Act:
    return Act(
        draw.weigh(_ACTS),
        draw.seconds(1.0),
        draw.seconds(0.3),
        int(draw.pick(_SENT)),
        draw.number(size - 1) if draw.chance(0.7) else None,
        int(draw.pick(_DEADLY)),
        draw.pick([None, None, 0.0, 0.2]),
    )


def _draw_options(draw: Draw, *, stubborn: bool) -> dict[str, Any]:
    return {
        "shutdown_timeout": draw.pick([0.0, 0.05, 0.2, 0.5] if stubborn else [0.0, 0.1, 0.5, 30.0]),
        "drain_timeout": draw.pick([0.0, 0.1, 1.0]),
        "failure_grace": draw.pick([0.0, 0.0, 0.05, 0.3]),
        "death_sig": int(draw.weigh({signal.SIGTERM: 8, signal.SIGINT: 1, signal.SIGUSR1: 1, signal.SIGKILL: 1})),
    }


def _draw_logs(draw: Draw, size: int) -> LogsPlan:
    kind = draw.weigh({"none": 2, "redirect": 5, "tee": 4, "mixed": 3})
    some = {rank: Std(draw.number(3)) for rank in range(size)} if kind == "mixed" else {}
    others = {rank: Std(draw.number(3)) for rank in range(size)} if kind == "mixed" else {}
    return LogsPlan(
        draw.weigh({"own": 5, "temporary": 1}) if kind != "none" else draw.pick(["own", "temporary", "none"]),
        some or dict.fromkeys(range(size), Std.ALL if kind == "redirect" else Std.NONE),
        others or dict.fromkeys(range(size), Std.ALL if kind == "tee" else Std.NONE),
        filtered=draw.chance(0.4),
    )


def _draw_ranks(draw: Draw, size: int, home: Home, *, escapees: bool) -> tuple[RankPlan, ...]:
    mood = draw.weigh(_MOODS)
    loser = draw.number(size - 1)
    ranks = []
    for rank in range(size):
        vices = _draw_vices(draw, rank, home, escapees=escapees)
        if mood == "duel":
            first = _CLEAR if rank != loser else 0.0
            steps = [*vices, Step("rest", {"seconds": first + draw.seconds(0.4)}), _bad_end(draw, home)]
            if rank != loser and draw.chance(0.5):
                steps[-2:] = [*_never(draw)]
        elif mood == "good" or draw.chance(0.6):
            steps = [*vices, Step("rest", {"seconds": draw.seconds(0.5)}), _good_end(draw, home)]
        elif draw.chance(0.5):
            steps = [*vices, Step("rest", {"seconds": draw.seconds(0.6)}), _bad_end(draw, home)]
        else:
            steps = [*vices, *_never(draw)]
        ranks.append(RankPlan(tuple(steps)))
    return tuple(ranks)


def _draw_vices(draw: Draw, rank: int, home: Home, *, escapees: bool) -> list[Step]:
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
    if escapees and draw.chance(0.15):
        steps.append(Step("let_escape", {"hold": draw.chance(0.3)}))
    if draw.chance(0.08):
        steps.append(Step("report", {"kind": draw.pick(_REPORTS)}))
    return steps


def _draw_saying(draw: Draw, stream: int, rank: int, turn: int) -> Step:
    kind = draw.weigh({"lines": 5, "unended": 2, "long": 2, "binary": 2, "progress": 1})
    size = draw.weigh({10: 2, 1000: 4, 70_000: 2, 500_000: 1})
    salt = 10_000 + rank * 100 + stream * 10 + turn
    return Step("say", {"stream": stream, "kind": kind, "size": size, "salt": salt, "pause": draw.pick([0, 0, 0.01])})


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
