"""What a question is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contenders import Contender

Values: TypeAlias = dict[str, float | list[float]]
"""What one trial measured: by metric one value, or several of the same kind."""

Measure: TypeAlias = "Callable[..., Values]"
"""``measure(contender, directory, **arguments)``, with the case's arguments, in an interpreter of its own whose
standard output is ``directory/stdout``. Raises ``CannotError`` where the contender cannot do it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row: its name, and what ``measure`` gets.

    ``shown``: the metric for the tables, ``turns``: how often all take turns, if these are not the question's.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shown: str | None = None
    turns: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One file ``bench_<name>.py``.

    ``metrics``: by name, the unit and what it is; the first one is shown in the tables. ``contenders``: ratios refer to
    the first. ``turns``: how often all take turns in a full run. ``limit``: seconds after which a trial is ended.
    ``quick``: the names of the cases that a quick run has.
    """

    name: str
    title: str
    metrics: dict[str, tuple[str, str]]
    contenders: tuple[Contender, ...]
    cases: tuple[Case, ...]
    measure: Measure
    turns: int = 5
    limit: float = 60.0
    quick: tuple[str, ...] = ()

    def shown(self, case: Case) -> str:
        """The metric for the tables."""
        return case.shown or next(iter(self.metrics))

    def contender(self, name: str) -> Contender:
        """By name."""
        return next(one for one in self.contenders if one.name == name)

    def case(self, name: str) -> Case:
        """By name."""
        return next(one for one in self.cases if one.name == name)
