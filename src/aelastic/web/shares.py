"""Who of many gets how much of too little. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aelastic.events import LogLine


def fair_shares(counts: Mapping[int, int], budget: int) -> dict[int, int]:
    """Divide ``budget``: nobody gets more than his count, and who gets less than that gets as much as anybody."""
    shares: dict[int, int] = {}
    for position, (who, count) in enumerate(sorted(counts.items(), key=lambda item: item[1])):
        shares[who] = share = min(count, budget // (len(counts) - position))
        budget -= share
    return shares


def last_fairly(lines: Sequence[LogLine], budget: int) -> tuple[list[LogLine], dict[int, int]]:
    """The last lines of each rank, ``budget`` in all, in order; how many of each rank were left out."""
    if len(lines) <= budget:
        return list(lines), {}
    counts = Counter(line.rank for line in lines)
    shares = fair_shares(counts, budget)
    left_out = {rank: counts[rank] - share for rank, share in shares.items() if share < counts[rank]}
    skipped = dict(left_out)
    kept = []
    for line in lines:
        if skipped.get(line.rank, 0) > 0:
            skipped[line.rank] -= 1
        else:
            kept.append(line)
    return kept, left_out
