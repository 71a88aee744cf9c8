"""From a seed, and from nothing else, to a plan."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aelastic import Std
from tests.chaos.chance import Draw
from tests.chaos.draw_ranks import DEADLY, MOODS, draw_ranks
from tests.chaos.plan import Act, Assault, GangPlan, Home, LogsPlan, ScenePlan, Spectator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aelastic.conduct.containment import Mode

_SIZES = (1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12)
_HOMES: Mapping[Home, int] = {"program": 14, "spawn": 5, "fork": 2, "forkserver": 2}
_ACTS = {
    "waits": 9, "closes": 3, "closes twice": 2, "cancels": 3, "cancels twice": 3, "cancels the start": 3, "scope": 3,
    "times out": 1, "raises": 1, "requests a stop": 2, "stops the start": 2, "signals": 3, "polls": 2, "drops": 2,
}  # fmt: skip
_SENT = (*DEADLY, signal.SIGSTOP, signal.SIGCONT, signal.SIGUSR2)
_BREAKABLE: Mapping[Home, list[str]] = {
    "program": ["program"],
    "spawn": ["argument"],
    "fork": [],
    "forkserver": ["argument"],
}


def draw_scene(seeds: Sequence[int], *, contained: bool = False) -> ScenePlan:
    """The scene of ``seeds``: what each of them stands for, all at the same time.

    ``contained``: with nothing that may outlive its gang, and a guardian that is left in peace.
    """
    gangs: list[GangPlan] = []
    eager, assaults = False, []
    for seed in seeds:
        draw = Draw(seed)
        eager = eager or draw.chance(0.1)
        if draw.chance(0.15):
            kind = draw.pick([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            assaults.append(Assault(draw.seconds(0.5), int(kind)))
        count = draw.weigh({1: 8, 2: 2, 3: 1})
        gangs += [_draw_gang(draw, f"s{seed}-{number}-", contained=contained) for number in range(count)]
    return ScenePlan(tuple(seeds), tuple(gangs), eager, assaults[0] if assaults and not contained else None)


def _draw_gang(draw: Draw, name: str, *, contained: bool) -> GangPlan:
    home = draw.weigh(_HOMES)
    size = draw.pick(_SIZES) if home == "program" else 1 + draw.number(4)
    mood = draw.weigh(MOODS)
    departures: tuple[str, ...] = ("let_escape", "detach")
    if contained:
        departures = ("let_escape",) if home in ("program", "spawn") else ()
    ranks = draw_ranks(draw, size, home, mood, departures)
    containment: Mode | None = draw.pick(
        [None, None, "marker"] if contained else [None, None, "cgroup", "marker", "marker", "group"]
    )
    asynchronous = home != "program" and draw.chance(0.3)
    act = _draw_act(draw, size)
    if mood == "duel" and draw.chance(0.6):
        act = replace(act, kind="waits")
    stopped = act.kind == "signals" and act.signal == signal.SIGSTOP
    options = _draw_options(draw, stubborn=stopped or any(rank.has("freeze", "ignore") for rank in ranks))
    logs = _draw_logs(draw, size)
    spectators = tuple(
        Spectator(draw.pick(["events", "logs"]), draw.pick([0, 0, 1, 3, 20])) for _ in range(draw.pick([0, 0, 1, 2]))
    )
    broken = draw.pick(["logs", *_BREAKABLE[home]]) if draw.chance(0.04) else ""
    return _with_act(
        GangPlan(name, home, asynchronous, ranks, logs, act, options, containment, spectators, broken), act
    )


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
        int(draw.pick(DEADLY)),
        draw.pick([None, None, 0.0, 0.2]),
    )


def _draw_options(draw: Draw, *, stubborn: bool) -> dict[str, Any]:
    return {
        "shutdown_timeout": draw.pick([0.0, 0.05, 0.2, 0.5] if stubborn else [0.0, 0.1, 0.5, 30.0]),
        "drain_timeout": draw.pick([0.0, 0.1, 1.0]),
        "failure_grace": draw.pick([0.0, 0.0, 0.05, 0.3, 1.5]),
        "death_sig": int(draw.weigh({signal.SIGTERM: 8, signal.SIGINT: 1, signal.SIGUSR1: 1, signal.SIGKILL: 1})),
    }


def _draw_logs(draw: Draw, size: int) -> LogsPlan:
    kind = draw.weigh({"none": 2, "redirect": 5, "tee": 4, "mixed": 3})
    some = {rank: Std(draw.number(3)) for rank in range(size)} if kind == "mixed" else {}
    others = {rank: Std(draw.number(3)) for rank in range(size)} if kind == "mixed" else {}
    return LogsPlan(
        draw.weigh({"own": 4, "temporary": 1}) if kind != "none" else draw.pick(["own", "temporary", "none"]),
        some or dict.fromkeys(range(size), Std.ALL if kind == "redirect" else Std.NONE),
        others or dict.fromkeys(range(size), Std.ALL if kind == "tee" else Std.NONE),
        filtered=draw.chance(0.4),
    )
