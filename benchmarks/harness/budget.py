"""What aelastic may cost: every row a ratio of two contenders in the same turns, or an absolute bound."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness import numbers
from benchmarks.harness.running import questions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.harness.running import Answer
    from benchmarks.harness.trial import Seen


@dataclass(frozen=True, slots=True)
class Budget:
    """One row.

    ``theirs``: the contender of the same case, or None where ``bound`` is absolute. ``least``: ours must be at least
    ``bound``, else at most. ``only``: whether the row concerns this Python.
    """

    what: str
    against: str
    question: str
    case: str
    metric: str
    ours: str
    theirs: str | None
    bound: float
    least: bool = False
    only: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row with what was seen; ``holds`` is None where nothing was."""

    budget: Budget
    ours: str
    theirs: str
    ratio: str
    bound: str
    holds: bool | None
    reason: str = ""


_SMALL = 0.2  # ratios below are told as fractions
_OURS, _OURS_UVLOOP = "aelastic", "aelastic, uvloop"
_STALL = "64 ranks, 2 GB"


def budgets(python: tuple[int, int]) -> tuple[Budget, ...]:
    """The rows for a version of Python. Asyncio's own loop has a thread for each child before 3.12."""
    no_threads = python >= (3, 12)
    launch = 1.5 if no_threads else 2.0
    return (
        Budget("exit of a rank until wait() returns", "torch", "exit", "1 rank", "seconds", _OURS, "torch", 1 / 100),
        Budget("64 ranks of /bin/true", "posix_spawn", "launch", "64 ranks", "seconds", _OURS, "posix_spawn", launch),
        Budget("the same", "torch, period 0.01", "launch", "64 ranks", "seconds", _OURS, "torch, period 0.01", 1.0),
        Budget(
            "4 trivial function ranks, spawn", "torch", "functions", "spawn, trivial", "seconds", _OURS, "torch", 1 / 12
        ),
        Budget("the same", "multiprocessing", "functions", "spawn, trivial", "seconds", _OURS, "multiprocessing", 1.3),
        Budget(
            "tee with prefix, 4 ranks at full speed",
            "torch",
            "tee",
            "with prefix",
            "rate",
            _OURS,
            "torch",
            8,
            least=True,
        ),
        Budget(
            "the same, on a terminal",
            "torch",
            "tee",
            "with prefix, on a terminal",
            "rate",
            _OURS,
            "torch",
            8,
            least=True,
        ),
        Budget(
            "the same, PYTHONUNBUFFERED=1",
            "torch",
            "tee",
            "with prefix, unbuffered",
            "rate",
            _OURS,
            "torch",
            8,
            least=True,
        ),
        Budget(
            "redirect only, 1 rank", "cat > file", "redirect", "1 rank", "rate", _OURS, "cat > file", 0.8, least=True
        ),
        Budget(
            "redirect only, 8 ranks", "cat > file", "redirect", "8 ranks", "rate", _OURS, "cat > file", 0.8, least=True
        ),
        Budget(
            "longest stall, launch of 64 ranks from 2 GB, uvloop",
            "uvloop's subprocess",
            "stall",
            _STALL,
            "launch_longest",
            _OURS_UVLOOP,
            "asyncio, uvloop",
            1 / 10,
        ),
        Budget(
            "the same, launch, full speed and stop",
            "uvloop's subprocess",
            "stall",
            _STALL,
            "longest",
            _OURS_UVLOOP,
            "asyncio, uvloop",
            1 / 10,
        ),
        Budget("wake-ups per second, 64 silent ranks", "torch", "idle", "redirect", "wakeups", _OURS, None, 0),
        Budget("the same, tee", "torch", "idle", "tee", "wakeups", _OURS, None, 0),
        Budget(
            "1000 ranks start and stop; threads for each",
            "-",
            "footprint",
            "1000 ranks, redirect",
            "threads",
            _OURS,
            None,
            0.01,
            only=no_threads,
        ),
        Budget("the same, uvloop", "-", "footprint", "1000 ranks, redirect", "threads", _OURS_UVLOOP, None, 0.01),
        Budget("import aelastic", "bare interpreter", "import", "import", "over_bare", "import aelastic", None, 0.060),
        Budget(
            "worker bootstrap", "bare interpreter", "import", "import", "over_bare", "worker bootstrap", None, 0.015
        ),
        Budget(
            "aelastic run, 2 ranks of a trivial script",
            "torchrun",
            "launcher",
            "2 ranks",
            "seconds",
            "aelastic run",
            "torchrun",
            1 / 8,
        ),
    )


def judge(answers: Mapping[str, Answer]) -> list[Verdict]:
    """Every row, with what was seen."""
    versions = [answer.machine["python"] for answer in answers.values() if answer.machine]
    python = versions[-1].split()[-1].split(".") if versions else sys.version_info
    return [_judge(budget, answers.get(budget.question)) for budget in budgets((int(python[0]), int(python[1])))]


def _judge(budget: Budget, answer: Answer | None) -> Verdict:
    (question,) = questions([budget.question])
    unit = question.metrics[budget.metric][0]
    if answer is None or budget.case not in answer.seen:
        return Verdict(budget, "", "", "", _bound(budget, unit), None, "not asked")
    ours = answer.turns(budget.case, budget.ours)
    theirs = answer.turns(budget.case, budget.theirs or budget.against)
    seen = numbers.flat(ours, budget.metric)
    compared = numbers.flat(theirs, budget.metric)
    told = [numbers.told(statistics.median(one), unit) if one else "" for one in (seen, compared)]
    value = _value(budget, ours, theirs)
    ratio = _ratio(value) if budget.theirs and value is not None else ""
    reason = next((one.reason for one in [*ours, *theirs] if one.reason), "") if value is None else ""
    holds = None if value is None or not budget.only else _holds(budget, value)
    if not budget.only:
        reason = "asyncio's own thread for each child on this Python"
    return Verdict(budget, told[0], told[1], ratio, _bound(budget, unit), holds, reason)


def _value(budget: Budget, ours: list[Seen], theirs: list[Seen]) -> float | None:
    if budget.theirs is not None:
        return numbers.ratio(ours, theirs, budget.metric)
    seen = numbers.flat(ours, budget.metric)
    return statistics.median(seen) if seen else None


def _holds(budget: Budget, value: float) -> bool:
    return value >= budget.bound if budget.least else value <= budget.bound


def _bound(budget: Budget, unit: str) -> str:
    sign = "≥" if budget.least else "≤"
    if budget.theirs is None:
        return f"{sign} {numbers.told(budget.bound, unit)}"
    return f"{sign} 1/{1 / budget.bound:.0f}" if budget.bound < _SMALL else f"{sign} {budget.bound:g} times"


def _ratio(value: float) -> str:
    return f"1/{numbers.digits(1 / value)}" if 0 < value < _SMALL else f"{numbers.digits(value)} times"
