"""What every contender's ranks do: as little as can be."""

from __future__ import annotations


def work(rank: int) -> int:
    """Return the rank."""
    return rank
