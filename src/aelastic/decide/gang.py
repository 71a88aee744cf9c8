"""The gang: all ranks succeed, or the first failure ends them all. Pure; time is an argument.

Facts go in (``started``, ``exited``, ``stop_asked``, ``deadline``), actions come out (``Signal``, ``Finish``).
A rank that was never started when the gang is told to stop is never started; nothing follows a ``Finish``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aelastic.decide.ladder import Ladder, Step


@dataclass(frozen=True, slots=True)
class Signal:
    """Send ``signal`` to the family of ``rank``."""

    rank: int
    signal: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Every started rank has ended or was given up."""


Action: TypeAlias = Signal | Finish


@dataclass(frozen=True, slots=True)
class End:
    """How a rank ended. ``collateral``: it had been asked to stop before. A rank may fail with exit code 0."""

    exitcode: int
    at: float
    collateral: bool
    failed: bool

    @property
    def is_cause(self) -> bool:
        """A failure that nobody asked for."""
        return self.failed and not self.collateral


class Gang:
    """Decides whom to signal, and when it is over, for ``nprocs`` ranks.

    ``failure_grace`` seconds lie between the first failure and the stop of the others, so that peers that fail in
    consequence can say so themselves; ``shutdown_timeout`` seconds lie between ``death_sig`` and SIGKILL.
    """

    def __init__(self, nprocs: int, *, death_sig: int, shutdown_timeout: float, failure_grace: float = 0.0) -> None:
        self.nprocs = nprocs
        self.ends: dict[int, End] = {}
        self.stopping = False
        self.finished = False
        self._ladders: dict[int, Ladder] = {}
        self._death_sig = death_sig
        self._shutdown_timeout = shutdown_timeout
        self._failure_grace = failure_grace
        self._stop_at: float | None = None

    def started(self, rank: int) -> None:
        """The process of ``rank`` exists. Raises ``ValueError`` when it exists already, or must not exist any more."""
        if rank in self._ladders or self.stopping:
            raise ValueError(f"rank {rank} may not start")
        self._ladders[rank] = Ladder()

    def exited(self, rank: int, exitcode: int, at: float, *, failed: bool | None = None) -> list[Action]:
        """The process of ``rank`` ended at ``at``. A second end, or one after the finish, changes nothing.

        ``failed`` None: an exit code other than 0 is a failure.
        """
        ladder = self._ladders[rank]
        if rank in self.ends or self.finished:
            return []
        asked_at = ladder.asked_at
        ladder.gone()
        end = self.ends[rank] = End(
            exitcode,
            at,
            collateral=asked_at is not None and at >= asked_at,
            failed=exitcode != 0 if failed is None else failed,
        )
        if end.is_cause and not self.stopping:
            stop_at = at + self._failure_grace
            self._stop_at = stop_at if self._stop_at is None else min(self._stop_at, stop_at)
        return self._finish()

    def stop_asked(self, at: float, death_sig: int | None = None, timeout: float | None = None) -> list[Action]:
        """Somebody wants the run to end; None means the signal and the grace that the gang was made with."""
        sig = self._death_sig if death_sig is None else death_sig
        grace = self._shutdown_timeout if timeout is None else timeout
        self.stopping = True
        return self._signals({rank: ladder.ask(sig, at, grace) for rank, ladder in self._alive()}) + self._finish()

    def deadline(self, at: float) -> list[Action]:
        """Time has come to ``at``."""
        return self._signals({rank: ladder.expire(at) for rank, ladder in self._alive()}) + self._proceed(at)

    @property
    def next_deadline(self) -> float | None:
        """When ``deadline`` must be called at the latest; None when only an exit or a request can change anything."""
        waiting = [ladder.deadline for _, ladder in self._alive()]
        if self._is_launched and not (self.stopping or self.finished):
            waiting.append(self._stop_at)
        return min((at for at in waiting if at is not None), default=None)

    @property
    def first_failure(self) -> int | None:
        """The rank that failed first by itself."""
        causes = [(end.at, rank) for rank, end in self.ends.items() if end.is_cause]
        return min(causes, key=lambda cause: cause[0])[1] if causes else None

    @property
    def abandoned(self) -> list[int]:
        """The ranks that did not end even after SIGKILL."""
        return [rank for rank, ladder in self._ladders.items() if ladder.step is Step.ABANDONED]

    def step(self, rank: int) -> Step | None:
        """How far ``rank`` is down the ladder; None before its start."""
        ladder = self._ladders.get(rank)
        return ladder.step if ladder else None

    @property
    def _is_launched(self) -> bool:
        """Every rank was started. Before that, a failure stops nobody: each rank has its end in the result."""
        return len(self._ladders) == self.nprocs

    def _alive(self) -> list[tuple[int, Ladder]]:
        return [(rank, ladder) for rank, ladder in self._ladders.items() if not ladder.over]

    def _proceed(self, at: float) -> list[Action]:
        """Stop the others when a failure's grace is over; finish when nobody is left."""
        if self._is_launched and self._stop_at is not None and at >= self._stop_at and not self.stopping:
            return self.stop_asked(at)
        return self._finish()

    def _finish(self) -> list[Action]:
        complete = self.stopping or self._is_launched
        if self.finished or not complete or self._alive():
            return []
        self.finished = True
        return [Finish()]

    @staticmethod
    def _signals(by_rank: dict[int, int | None]) -> list[Action]:
        return [Signal(rank, sig) for rank, sig in by_rank.items() if sig is not None]
