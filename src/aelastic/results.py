"""What a run ended with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aelastic.errors.child_failed import ChildFailedError

if TYPE_CHECKING:
    from aelastic.errors.failure import ProcessFailure


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start that a supervisor has made, and what came of it: of all ``ranks`` together, or of one.

    ``number`` counts the starts of these ranks, from 0. Times are in seconds since the epoch. ``started`` is False when
    nothing came to be; then each rank has a failure with the exit code 127 and no pid (0) that says why. The rest is
    that of the attempt's own result.
    """

    number: int
    ranks: tuple[int, ...]
    started_at: float
    ended_at: float
    started: bool
    exitcodes: dict[int, int] = field(default_factory=dict)
    failures: dict[int, ProcessFailure] = field(default_factory=dict)
    stdouts: dict[int, str] = field(default_factory=dict)
    stderrs: dict[int, str] = field(default_factory=dict)
    lost_log_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunProcsResult:
    """The end of a run, keyed by local rank. The first four fields are torch's.

    ``stdouts`` and ``stderrs`` hold the path of the log file, or ``""`` where the stream went to the console.
    A failed run has no return values; a successful run of programs has None for each rank. ``failures`` are in the
    order in which the ranks failed; what aelastic stopped comes after that.

    Ours:
        exitcodes: every rank that ended; negative means a signal, as in ``subprocess``.
        abandoned: rank to pid of what did not end even after SIGKILL (uninterruptible sleep).
        detached: rank to pids of what it has started to outlive the run, with ``AELASTIC_DETACH=1`` in the environment
            and a session of its own, and what was still there at the end.
        lost_log_bytes: log file to the number of bytes that could not be written to it (a full disk).
        name: the name given to ``start_processes``.

    Of a supervisor, whose other fields tell of the last attempt of each rank:
        attempts: the last 100 attempts, in the order of their ends.
        restarts: how often a rank, or all of them together, was started again.
        gave_up: why it restarts nothing any more, although something should run; ``""`` when it did not give up.
    """

    return_values: dict[int, Any] = field(default_factory=dict)
    failures: dict[int, ProcessFailure] = field(default_factory=dict)
    stdouts: dict[int, str] = field(default_factory=dict)
    stderrs: dict[int, str] = field(default_factory=dict)
    exitcodes: dict[int, int] = field(default_factory=dict)
    abandoned: dict[int, int] = field(default_factory=dict)
    detached: dict[int, tuple[int, ...]] = field(default_factory=dict)
    lost_log_bytes: dict[str, int] = field(default_factory=dict)
    name: str = ""
    attempts: tuple[Attempt, ...] = ()
    restarts: int = 0
    gave_up: str = ""

    def is_failed(self) -> bool:
        """Whether any rank failed. Ranks that aelastic stopped count too, as in torch."""
        return bool(self.failures)

    @property
    def first_failure(self) -> ProcessFailure | None:
        """The root cause: the first rank that failed by itself. None when aelastic stopped all that failed."""
        causes = [failure for failure in self.failures.values() if not failure.collateral]
        return min(causes, key=lambda failure: failure.failed_at, default=None)

    def raise_for_failures(self) -> None:
        """Raise ``ChildFailedError`` when the run failed."""
        if self.failures:
            raise ChildFailedError(self.name, self.failures)
