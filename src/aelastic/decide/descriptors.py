"""How many file descriptors a run takes at its peak. Pure; an upper bound, measured to be a close one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aelastic.decide.plan import StreamPlan

RESERVE = 12  # two for the guardian, two for multiprocessing's helpers, one for each of four threads, and some
_PER_CONSOLE = 2  # a duplicate of the application's stream, and the log file that a slow one is read back from


@dataclass(frozen=True, slots=True)
class Need:
    """What this process opens for one rank, streams apart: at most, while it is launched; and from then on."""

    launching: int
    running: int

    def __add__(self, other: Need) -> Need:
        return Need(self.launching + other.launching, self.running + other.running)


def peak(streams: Sequence[StreamPlan], filtered: Collection[str], ranks: Sequence[Need]) -> int:
    """The most descriptors that are open at once, from nothing to the last rank running.

    ``streams`` and ``ranks`` are of all ranks, in the order of their launches; ``filtered`` are the paths of the
    filtered logs. Every pipe is open at both ends before the first launch, and loses one with its rank's launch. Files
    stay open to the end.
    """
    captured = Counter(plan.rank for plan in streams if plan.captured)
    files = {plan.path for plan in streams if plan.captured} | set(filtered)
    consoles = {plan.stream for plan in streams if plan.tee}
    held = RESERVE + len(files) + _PER_CONSOLE * len(consoles) + 2 * captured.total()
    highest = held
    for rank, need in enumerate(ranks):
        highest = max(highest, held + need.launching)
        held += need.running - captured[rank]
    return max(highest, held)
