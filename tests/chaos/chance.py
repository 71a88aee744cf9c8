"""Chance, from a seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")


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
