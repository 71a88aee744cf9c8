"""Pictures of the answers, for people who have not read the code."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from benchmarks.harness import numbers

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.harness.running import Answer

_COLOURS = {
    "aelastic": "#0b5fa5",
    "aelastic, uvloop": "#4fa3e3",
    "aelastic, marker": "#6f9fc8",
    "aelastic, group": "#a9c9e3",
    "asyncio": "#2f7d32",
    "asyncio, uvloop": "#7cb97e",
    "torch": "#d1491b",
    "torch, period 0.01": "#f08a4b",
    "torch in a thread": "#d1491b",
    "torch in a thread, uvloop": "#f08a4b",
    "posix_spawn": "#222222",
    "cat > file": "#222222",
    "supervice": "#8e6bb0",
    "simpervisor": "#b58900",
}
_WIDTH, _DPI = 9.0, 130
_LONGEST_REASON = 60


def draw(answers: Mapping[str, Answer], directory: Path) -> None:
    """Write every plot whose answers are there."""
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    for name, (needed, make) in _PLOTS.items():
        if all(one in answers for one in needed):
            figure = make(*[answers[one] for one in needed])
            figure.savefig(directory / f"{name}.png", dpi=_DPI, bbox_inches="tight")
            plt.close(figure)


# Lines and distributions


def _launch(answer: Answer) -> Any:
    figure, axes = plt.subplots(figsize=(_WIDTH, 5.5))
    ends = []
    for name in _names(answer):
        points = [(int(case.split()[0]), _median(answer, case, name, "seconds")) for case in answer.seen]
        there = [(ranks, seconds) for ranks, seconds in points if seconds is not None]
        if there:
            _line(axes, name, there)
            ends.append((there[-1], name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    counts = [int(case.split()[0]) for case in answer.seen]
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(_ticks("s"))
    axes.set_xlabel("ranks of /bin/true")
    axes.set_ylabel("from the call to the result")
    axes.grid(alpha=0.25)
    _label_ends(axes, ends, counts[-1])
    _title(
        figure, axes, "How long do n ranks take that do nothing?", "warm, median of all turns; both axes logarithmic"
    )
    return figure


def _line(axes: Any, name: str, points: Sequence[tuple[float, float]]) -> None:
    wide = 2.4 if name in ("aelastic", "aelastic, uvloop") else 1.5
    style = "--" if name in ("posix_spawn", "cat > file") else "-"
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, style, color=_COLOURS.get(name), linewidth=wide, marker="o", markersize=3.5)


def _exit(answer: Answer) -> Any:
    case = next(iter(answer.seen))
    figure, axes = plt.subplots(figsize=(_WIDTH, 0.55 * len(_names(answer)) + 1))
    for place, name in enumerate(reversed(_asked(answer, case, "seconds"))):
        values = sorted(numbers.flat(answer.turns(case, name), "seconds"))
        middle = statistics.median(values)
        axes.plot(values, [place] * len(values), "|", color=_COLOURS.get(name), markersize=14, alpha=0.45)
        axes.plot([middle], [place], "o", color=_COLOURS.get(name), markersize=8)
        axes.annotate(
            numbers.told(middle, "s"), (middle, place), (0, 11), textcoords="offset points", ha="center", fontsize=9
        )
    names = list(reversed(_asked(answer, case, "seconds")))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_ticks("s"))
    axes.set_xlabel("from the moment that lets the rank end to the return of wait()")
    axes.grid(axis="x", alpha=0.25)
    _title(
        figure, axes, "A rank ends: when does wait() return?", "each stroke one end, the dot the median; logarithmic"
    )
    return figure


# Bars


def _throughput(redirect: Answer, tee: Answer) -> Any:
    cases = [(redirect, case) for case in redirect.seen] + [(tee, case) for case in tee.seen]
    heights = [len(_names(answer)) for answer, _ in cases]
    figure, panels = plt.subplots(
        len(cases), 1, figsize=(_WIDTH, 0.32 * sum(heights) + 0.9 * len(cases)), height_ratios=heights
    )
    for axes, (answer, case) in zip(_flat(panels), cases, strict=True):
        what = "redirect into files" if answer is redirect else "tee, 4 ranks"
        _bars(axes, answer, case, "rate", log=False)
        axes.set_title(f"{what}, {case}", loc="left", fontsize=10)
    figure.tight_layout()
    _head(figure, "How much output can the ranks write?", "at full speed, start and end included; more is better")
    return figure


def _stall(answer: Answer) -> Any:
    case = next(iter(answer.seen))
    phases = {
        "quiet_longest": "before, no ranks",
        "first_longest": "first run of the interpreter (1 rank)",
        "launch_longest": "launch of 64 ranks",
        "flood_longest": "all write at full speed",
        "teardown_longest": "all are stopped",
    }
    figure, panels = plt.subplots(1, len(phases), figsize=(_WIDTH + 3, 3.4), sharey=True, sharex=True)
    for axes, (metric, what) in zip(_flat(panels), phases.items(), strict=True):
        _bars(axes, answer, case, metric, log=True)
        axes.set_title("\n".join(_wrapped(what)), fontsize=10)
    _flat(panels)[0].set_xlim(1e-4, 3)
    figure.tight_layout()
    _head(
        figure,
        "How long do an application's other tasks stand still?",
        "longest delay of a task that wants to run every millisecond, in a process of 2 GB; median, logarithmic",
    )
    return figure


def _idle(idle: Answer, slow: Answer) -> Any:
    cases = [(idle, case, "wakeups") for case in idle.seen if case != "no capture"] + [
        (slow, case, "share") for case in slow.seen
    ]
    heights = [len(_names(answer)) for answer, _, _ in cases]
    figure, panels = plt.subplots(
        len(cases), 1, figsize=(_WIDTH, 0.32 * sum(heights) + 0.9 * len(cases)), height_ratios=heights
    )
    for axes, (answer, case, metric) in zip(_flat(panels), cases, strict=True):
        _bars(axes, answer, case, metric, log=False)
        what = "silent: wake-ups per second" if answer is idle else "100 lines/s each: CPU seconds per second"
        axes.set_title(f"64 ranks, {what}; {case}", loc="left", fontsize=10)
    figure.tight_layout()
    _head(figure, "What does the supervisor do while ranks do little?", "less is better")
    return figure


def _memory(answer: Answer) -> Any:
    figure, panels = plt.subplots(1, len(answer.seen), figsize=(_WIDTH + 3, 3.6), sharey=True)
    for axes, case in zip(_flat(panels), answer.seen, strict=True):
        _bars(axes, answer, case, "memory", log=False)
        axes.set_title("\n".join(_wrapped(case)), fontsize=10)
    figure.tight_layout()
    _head(figure, "What memory does a rank cost its supervisor?", "resident memory of the supervisor, for each rank")
    return figure


def _web(answer: Answer) -> Any:
    case = next(iter(answer.seen))
    names = list(reversed(_asked(answer, case, "p99")))
    figure, panels = plt.subplots(1, 3, figsize=(_WIDTH + 2, 3.0), sharey=True, sharex=True)
    for axes, share in zip(_flat(panels), ("p50", "p99", "p99.9"), strict=True):
        for place, name in enumerate(names):
            alone = _median(answer, case, name, f"alone_{share}") or math.nan
            during = _median(answer, case, name, share) or math.nan
            colour = _COLOURS.get(name)
            axes.plot([alone, during], [place, place], "-", color=colour, linewidth=2)
            axes.plot([alone], [place], "o", color="white", markeredgecolor=colour, markersize=7)
            axes.plot([during], [place], "o", color=colour, markersize=8)
            axes.annotate(
                numbers.told(during, "s"), (during, place), (0, 9), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_title({"p50": "median", "p99": "99 %", "p99.9": "99.9 %"}[share], fontsize=10)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_ticks("s"))
        axes.grid(axis="x", alpha=0.25)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.3)
    figure.tight_layout()
    _head(
        figure,
        "What do the users of a web service notice when it runs 64 ranks?",
        "time to answer; hollow: without ranks, full: while they are launched, write and are stopped; logarithmic",
    )
    return figure


def _bars(axes: Any, answer: Answer, case: str, metric: str, *, log: bool) -> None:
    names = list(reversed(_names(answer)))
    unit = answer.question.metrics[metric][0]
    values = [_median(answer, case, name, metric) or 0.0 for name in names]
    axes.barh(range(len(names)), values, color=[_COLOURS.get(name, "#888888") for name in names], height=0.7)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        there = bool(numbers.flat(answer.turns(case, name), metric))
        axes.annotate(
            numbers.told(value, unit) if there else _reason(answer, case, name),
            (value, place) if there else (0, place),
            (3, 0),
            xycoords="data" if there else ("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9 if there else 8,
            color="black" if there else "#999999",
        )
    axes.set_yticks(range(len(names)), names)
    if log:
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, max([*values, 1e-9]) * 1.25)
    axes.xaxis.set_major_formatter(_ticks(unit))
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


# Helpers


def _names(answer: Answer) -> list[str]:
    return [contender.name for contender in answer.question.contenders]


def _reason(answer: Answer, case: str, name: str) -> str:
    """Why there is no bar."""
    reason = next((one.reason for one in answer.turns(case, name) if one.reason), "not asked")
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _asked(answer: Answer, case: str, metric: str) -> list[str]:
    """Those that have an answer."""
    return [name for name in _names(answer) if numbers.flat(answer.turns(case, name), metric)]


def _median(answer: Answer, case: str, name: str, metric: str) -> float | None:
    values = numbers.flat(answer.turns(case, name), metric)
    return statistics.median(values) if values else None


def _flat(panels: Any) -> list[Any]:
    return list(panels) if hasattr(panels, "__iter__") else [panels]


def _ticks(unit: str) -> FuncFormatter:
    shown = unit if unit in ("s", "B", "B/s") else ""  # the others are beside the bars
    return FuncFormatter(lambda value, _: numbers.told(value, shown).replace(".00", "").replace(".0 ", " "))


def _wrapped(text: str, width: int = 22) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _label_ends(axes: Any, ends: Sequence[tuple[tuple[float, float], str]], right: float) -> None:
    """Names beside the last points, moved apart where they would overlap."""
    ordered = sorted(ends, key=lambda end: end[0][1])
    low, high = map(math.log, axes.get_ylim())
    places = _apart([math.log(y) for (_, y), _ in ordered], gap=(high - low) * 0.045, top=high)
    for ((x, y), name), place in zip(ordered, places, strict=True):
        axes.annotate(
            name if x == right else f"{name} (not beyond {x:g} ranks)",
            (x, y),
            (right * 1.7, math.exp(place)),
            color=_COLOURS.get(name),
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _COLOURS.get(name), "alpha": 0.4, "linewidth": 0.7},
        )


def _apart(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Places near the ``wanted`` ones, in ascending order, that are at least ``gap`` apart and not above ``top``."""
    places: list[float] = []
    for one in wanted:
        places.append(max(one, places[-1] + gap) if places else one)
    places[-1] = min(places[-1], top)
    for index in reversed(range(len(places) - 1)):
        places[index] = min(places[index], places[index + 1] - gap)
    return places


def _title(figure: Any, axes: Any, question: str, how: str) -> None:
    axes.set_title(question, loc="left", fontsize=13, fontweight="bold", pad=24)
    axes.annotate(
        how, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", fontsize=9, color="#555555"
    )


def _head(figure: Any, question: str, how: str) -> None:
    height = figure.get_size_inches()[1]
    figure.text(0.01, 1 + 0.38 / height, question, fontsize=13, fontweight="bold")
    figure.text(0.01, 1 + 0.14 / height, how, fontsize=9, color="#555555")


_PLOTS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "launch": (("launch",), _launch),
    "exit": (("exit",), _exit),
    "throughput": (("redirect", "tee"), _throughput),
    "stall": (("stall",), _stall),
    "idle": (("idle", "slow_writers"), _idle),
    "memory": (("footprint",), _memory),
    "web": (("web",), _web),
}
