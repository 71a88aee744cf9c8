"""Which ranks of a supervisor are ready, whichever of their attempts that takes."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aelastic.errors.base import NotRunningError

if TYPE_CHECKING:
    from aelastic.decide.supervision import Supervision
    from aelastic.elastic.attempts import Attempts
    from aelastic.elastic.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a rank will not be ready any more, and when it ended."""

    error: Exception
    at: float


class ReadyRanks:
    """Looks at what is there, and at what is left of the last attempts."""

    def __init__(self, supervision: Supervision, fleet: Fleet, attempts: Attempts) -> None:
        self._supervision = supervision
        self._fleet = fleet
        self._attempts = attempts

    def is_ready(self, unit: int, rank: int) -> bool:
        """Whether ``rank`` of ``unit`` has become ready, in the attempt that counts. It may have ended since."""
        instance = self._fleet.find(unit, self._supervision.number(unit))
        if instance is not None:
            return instance.run.monitor.was_ready(rank)
        last = None if self._supervision.will_start(unit) else self._attempts.last.get(unit)
        return last is not None and rank not in last.unready

    def loss(self, unit: int, rank: int) -> Loss | None:
        """Why ``rank``, which is not ready, will not be, if that is so."""
        if self._supervision.number(unit) is not None or self._supervision.will_start(unit):
            return None
        last = self._attempts.last.get(unit)
        if last is None:
            return Loss(NotRunningError(f"rank {rank} was stopped before it was started"), math.inf)
        # A copy, since each raise leaves a traceback in it.
        return Loss(copy(last.unready[rank]), last.snapshots[rank].ended_at or last.ended_at)

    def problem(self, unit: int, rank: int) -> str:
        """Why ``rank`` is not ready yet."""
        instance = self._fleet.find(unit, self._supervision.number(unit))
        if instance is not None:
            return instance.run.monitor.problem(rank)
        return "it waits for its restart" if self._supervision.is_waiting(unit) else "it is not started yet"
