"""Whether, and when, something that has ended is started again. Pure; the time and the chance are arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, TypeAlias, get_args

from aelastic.errors.base import InvalidArgumentError

When: TypeAlias = Literal["on_failure", "always", "never"]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a ``Supervisor`` starts again what has ended by itself, how often, and how long it waits before.

    The first restart comes after ``backoff`` seconds, each further one after ``factor`` times as many, at most
    ``max_backoff``. Chance makes a delay up to ``jitter`` (a share, 0 to 1) longer or shorter, so that ranks that fail
    together do not return together. What has run for ``stable_after`` seconds before it ended begins at ``backoff``
    again.

    Args:
        when: ``"on_failure"``, ``"always"`` (an exit with 0 too), or ``"never"``.
        max_restarts: how often a rank (with ``one_for_all``: all of them together) may be restarted; None: any number.
            The next end after that is final: the supervisor gives up and stops every rank. Torch's default is 3, too.
        period: seconds within which ``max_restarts`` are counted; None: over all the time. Restarts that somebody
            asks for are not counted.
        retry_start: what could not be started at all, such as a missing program, is tried again as if it had failed.
            Otherwise it ends the supervision at once.

    Raises ``InvalidArgumentError``.
    """

    when: When = "on_failure"
    max_restarts: int | None = 3
    period: float | None = None
    backoff: float = 1.0
    factor: float = 2.0
    max_backoff: float = 60.0
    jitter: float = 0.1
    stable_after: float = 60.0
    retry_start: bool = False

    def __post_init__(self) -> None:
        if self.when not in get_args(When):
            raise InvalidArgumentError(f"restart.when: expected one of {get_args(When)}, got {self.when!r}")
        if self.max_restarts is not None and not (isinstance(self.max_restarts, int) and self.max_restarts >= 0):
            raise InvalidArgumentError(f"restart.max_restarts: expected 0 or more, or None, got {self.max_restarts!r}")
        if self.period is not None and not 0 < self.period < math.inf:
            raise InvalidArgumentError(f"restart.period: expected seconds above 0, or None, got {self.period!r}")
        for what, least, most in (
            ("backoff", 0, math.inf),
            ("factor", 1, math.inf),
            ("max_backoff", 0, math.inf),
            ("jitter", 0, 1),
            ("stable_after", 0, math.inf),
        ):
            value = getattr(self, what)
            if not least <= value <= most:
                raise InvalidArgumentError(f"restart.{what}: expected {least} to {most}, got {value!r}")

    def delay(self, streak: int, chance: float) -> float:
        """Seconds until the restart after ``streak`` others in a row. ``chance`` is from 0 to 1; 0.5 is no jitter."""
        try:
            steady = min(self.backoff * self.factor**streak, self.max_backoff)
        except OverflowError:
            steady = self.max_backoff if self.backoff else 0.0
        return min(steady * (1 + self.jitter * (2 * chance - 1)), self.max_backoff)


class Outcome(Enum):
    """How something that was started has ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_STARTED = "not started"
    STOPPED = "stopped"  # by somebody, not by itself
    ABANDONED = "abandoned"  # it has not: not even SIGKILL ended it


@dataclass(frozen=True, slots=True)
class End:
    """An end. ``ran``: how many seconds lay between the start and the exit that decided it. ``reason``: a clause."""

    outcome: Outcome
    ran: float
    reason: str


@dataclass(frozen=True, slots=True)
class RestartHistory:
    """What is to be remembered of the past of one rank, or of the whole gang.

    ``recent`` holds the times of the restarts that still count, where there is a period. ``streak``: how many restarts
    have been granted since the last stable time.
    """

    count: int = 0
    recent: tuple[float, ...] = ()
    streak: int = 0

    def steady(self) -> RestartHistory:
        """The same, with the back-off at its beginning."""
        return replace(self, streak=0)


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again in ``delay`` seconds."""

    delay: float
    history: RestartHistory


@dataclass(frozen=True, slots=True)
class Enough:
    """Leave it ended, which is in order."""


@dataclass(frozen=True, slots=True)
class TooMuch:
    """It may not be started again although it should run, for this ``reason``."""

    reason: str


Verdict: TypeAlias = Again | Enough | TooMuch


def judge(policy: RestartPolicy, history: RestartHistory, end: End, at: float, chance: float) -> Verdict:
    """What becomes of something with this ``history`` that has ended at ``at``."""
    if end.outcome is Outcome.ABANDONED:
        return TooMuch(end.reason)
    if end.outcome is Outcome.NOT_STARTED and not policy.retry_start:
        return TooMuch(end.reason)
    succeeded = end.outcome is Outcome.SUCCEEDED and policy.when != "always"
    if succeeded or policy.when == "never" or end.outcome is Outcome.STOPPED:
        return Enough()
    recent = _within(policy.period, history.recent, at)
    used = history.count if policy.period is None else len(recent)
    if policy.max_restarts is not None and used >= policy.max_restarts:
        return TooMuch(f"{end.reason}{_exhausted(policy)}")
    streak = 0 if end.ran >= policy.stable_after else history.streak
    delay = policy.delay(streak, chance)
    # The time of the start, not that of the verdict: it is starts that come too often.
    stamps = () if policy.period is None or policy.max_restarts is None else (*recent, at + delay)
    return Again(delay, RestartHistory(history.count + 1, stamps, streak + 1))


def _within(period: float | None, stamps: tuple[float, ...], at: float) -> tuple[float, ...]:
    return () if period is None else tuple(stamp for stamp in stamps if stamp > at - period)


def _exhausted(policy: RestartPolicy) -> str:
    if not policy.max_restarts:
        return ", and no restart is allowed"
    used = (
        "one restart allowed{} was" if policy.max_restarts == 1 else f"{policy.max_restarts} restarts allowed{{}} were"
    )
    return f", and the {used.format('' if policy.period is None else f' within {policy.period:g} s')} used up"
