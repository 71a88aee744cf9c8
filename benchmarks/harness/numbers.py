"""From the values of the turns to what is told of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness.trial import Seen


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, fastest, slowest, and how many values there were."""

    median: float
    least: float
    most: float
    count: int


def flat(turns: Sequence[Seen], metric: str) -> list[float]:
    """Every value of all turns."""
    return [value for turn in turns for value in values_of(turn, metric)]


def values_of(turn: Seen, metric: str) -> list[float]:
    """The values of one turn, none if it failed."""
    found = turn.values.get(metric, [])
    return found if isinstance(found, list) else [found]


def spread(values: Sequence[float]) -> Spread | None:
    """None of nothing."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratio(ours: Sequence[Seen], theirs: Sequence[Seen], metric: str) -> float | None:
    """The median of the ratios within the turns: what disturbs a turn disturbs both sides."""
    found = []
    for mine, other in zip(ours, theirs, strict=False):
        above, below = values_of(mine, metric), values_of(other, metric)
        if above and below and statistics.median(below):
            found.append(statistics.median(above) / statistics.median(below))
    return statistics.median(found) if found else None


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie, 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def told(value: float, unit: str) -> str:
    """For people: three digits, with the unit that suits them."""
    if unit == "s":
        for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * scale >= 1 or name == "µs":
                return f"{digits(value * scale)} {name}"
    if unit == "B":
        for scale, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")):
            if abs(value) >= scale or name == "B":
                return f"{digits(value / scale)} {name}"
    for scale, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= scale:
            return f"{digits(value / (1e3 if name == 'k' else scale))} {name}{unit}".rstrip()
    return f"{digits(value)} {unit}".rstrip()


def digits(value: float) -> str:
    """Three that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
