"""The stop ladder of one rank: death signal, grace, SIGKILL, a last wait, given up. Pure; time is an argument.

============  =====================  =====================  ====
step          ask(signal)            deadline reached       gone
============  =====================  =====================  ====
RUNNING       send, TERMINATING      -                      GONE
TERMINATING   send if it is another  send SIGKILL, KILLING  GONE
KILLING       -                      ABANDONED              GONE
GONE          -                      -                      -
ABANDONED     -                      -                      -
============  =====================  =====================  ====
"""

from __future__ import annotations

import signal
from enum import Enum

_SHORTEST_REAPING, _LONGEST_REAPING = 0.5, 60.0


class Step(Enum):
    """How far a rank is down the ladder."""

    RUNNING = "running"
    TERMINATING = "terminating"
    KILLING = "killing"
    GONE = "gone"
    ABANDONED = "abandoned"


class Ladder:
    """Decides which signal a rank gets next. ``deadline`` is the time of the next step, None when nothing is due."""

    __slots__ = ("_grace", "_sent", "asked_at", "deadline", "step")

    def __init__(self) -> None:
        self.step = Step.RUNNING
        self.deadline: float | None = None
        self.asked_at: float | None = None
        self._sent: int | None = None
        self._grace = 0.0

    @property
    def over(self) -> bool:
        """Nothing more will be done about this rank."""
        return self.step in (Step.GONE, Step.ABANDONED)

    def ask(self, sig: int, at: float, grace: float) -> int | None:
        """Ask the rank to end by ``sig`` within ``grace`` seconds; the signal to send now, if any.

        Asked again, the earlier deadline stands, and only a signal that differs is sent.
        """
        if self.step not in (Step.RUNNING, Step.TERMINATING):
            return None
        if self.asked_at is None:
            self.asked_at, self._grace = at, grace
        if sig == signal.SIGKILL:
            return self._kill(at)
        self.step = Step.TERMINATING
        self.deadline = at + grace if self.deadline is None else min(self.deadline, at + grace)
        repeated, self._sent = sig == self._sent, sig
        return None if repeated else sig

    def expire(self, at: float) -> int | None:
        """Time has come to ``at``; the signal to send now, if a step is due."""
        if self.deadline is None or at < self.deadline:
            return None
        if self.step is Step.TERMINATING:
            return self._kill(at)
        self.step, self.deadline = Step.ABANDONED, None
        return None

    def gone(self) -> None:
        """The rank has ended."""
        self.step, self.deadline = Step.GONE, None

    def _kill(self, at: float) -> int:
        # How long a killed process may take to vanish grows with its size; so does the grace people give it.
        reaping = min(max(_SHORTEST_REAPING, self._grace / 6), _LONGEST_REAPING)
        self.step, self.deadline = Step.KILLING, at + reaping
        return signal.SIGKILL
