"""The gang: all ranks succeed, or the first failure ends them all. Pure; time is an argument.

Facts go in (``started``, ``exited``, ``hung``, ``stop_asked``, ``deadline``), actions come out (``Signal``,
``Finish``). A rank that was never started when the gang is told to stop is never started; nothing follows a ``Finish``.
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
class Hang:
    """A rank was found to hang at ``at``, for ``reason``, and is told to end at ``stop_at``."""

    at: float
    stop_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """How a rank ended. ``collateral``: it had been asked to stop before. A rank may fail with exit code 0.

    ``hung_at``: when it was found to hang, if it was; that is what it was asked to stop for, and no collateral.
    """

    exitcode: int
    at: float
    collateral: bool
    failed: bool
    hung_at: float | None = None

    @property
    def failed_at(self) -> float:
        """When it failed, if it did."""
        return self.at if self.hung_at is None else self.hung_at

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
        self.hangs: dict[int, Hang] = {}
        self.stopping = False
        self.finished = False
        self._ladders: dict[int, Ladder] = {}
        self._living: dict[int, Ladder] = {}  # of those, where something may still be done
        self._death_sig = death_sig
        self._shutdown_timeout = shutdown_timeout
        self._failure_grace = failure_grace
        self._stop_at: float | None = None

    def started(self, rank: int) -> None:
        """The process of ``rank`` exists. Raises ``ValueError`` when it exists already, or must not exist any more."""
        if rank in self._ladders or self.stopping:
            raise ValueError(f"rank {rank} may not start")
        self._ladders[rank] = self._living[rank] = Ladder()

    def exited(self, rank: int, exitcode: int, at: float, *, failed: bool | None = None) -> list[Action]:
        """The process of ``rank`` ended at ``at``. A second end, or one after the finish, changes nothing.

        ``failed`` None: an exit code other than 0 is a failure.
        """
        ladder = self._ladders[rank]
        if rank in self.ends or self.finished:
            return []
        asked_at, hang = ladder.asked_at, self.hangs.get(rank)
        ladder.gone()
        self._living.pop(rank, None)
        end = self.ends[rank] = End(
            exitcode,
            at,
            collateral=hang is None and asked_at is not None and at >= asked_at,
            failed=hang is not None or (exitcode != 0 if failed is None else failed),
            hung_at=hang.at if hang else None,
        )
        if end.is_cause and not self.stopping:
            self._stop_others(at + self._failure_grace)
        return self._finish()

    def hung(self, rank: int, reason: str, at: float, pause: float) -> list[Action]:
        """``rank`` lives, but does not do what it should: a failure. It is told to end ``pause`` seconds later.

        Until then it can be asked for its stacks. Changes nothing when the run is stopping, or the rank gone.
        """
        if not (self.stopping or self._ladders[rank].over or rank in self.hangs):
            self.hangs[rank] = Hang(at, at + pause, reason)
            self._stop_others(at + pause + self._failure_grace)
        return []

    def stop_asked(self, at: float, death_sig: int | None = None, timeout: float | None = None) -> list[Action]:
        """Somebody wants the run to end; None means the signal and the grace that the gang was made with."""
        sig = self._death_sig if death_sig is None else death_sig
        grace = self._shutdown_timeout if timeout is None else timeout
        self.stopping = True
        return self._signals({rank: one.ask(sig, at, grace) for rank, one in self._living.items()}) + self._finish()

    def deadline(self, at: float) -> list[Action]:
        """Time has come to ``at``."""
        expired = {rank: ladder.expire(at) for rank, ladder in self._asked().items()}
        for rank in [rank for rank in expired if self._living[rank].over]:
            del self._living[rank]
        return self._signals(expired) + self._stop_hung(at) + self._proceed(at)

    @property
    def next_deadline(self) -> float | None:
        """When ``deadline`` must be called at the latest; None when only an exit or a request can change anything."""
        waiting = [ladder.deadline for ladder in self._asked().values()]
        waiting += [self.hangs[rank].stop_at for rank, _ in self._hanging()]
        if self._is_launched and not (self.stopping or self.finished):
            waiting.append(self._stop_at)
        return min((at for at in waiting if at is not None), default=None)

    @property
    def first_failure(self) -> int | None:
        """The rank that failed first by itself."""
        causes = [(end.failed_at, rank) for rank, end in self.ends.items() if end.is_cause]
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

    def _asked(self) -> dict[int, Ladder]:
        """Those that may have been asked to end. As long as nobody was, time changes nothing, for however many."""
        return self._living if self.stopping or self.hangs else {}

    def _hanging(self) -> list[tuple[int, Ladder]]:
        """The ranks that hang and have yet to be told to end."""
        hanging = [(rank, self._living[rank]) for rank in self.hangs if rank in self._living]
        return [(rank, ladder) for rank, ladder in hanging if ladder.step is Step.RUNNING]

    def _stop_hung(self, at: float) -> list[Action]:
        due = [(rank, ladder) for rank, ladder in self._hanging() if at >= self.hangs[rank].stop_at]
        return self._signals({rank: ladder.ask(self._death_sig, at, self._shutdown_timeout) for rank, ladder in due})

    def _stop_others(self, at: float) -> None:
        """A failure ends the run at ``at``, if no other one does sooner."""
        self._stop_at = at if self._stop_at is None else min(self._stop_at, at)

    def _proceed(self, at: float) -> list[Action]:
        """Stop the others when a failure's grace is over; finish when nobody is left."""
        if self._is_launched and self._stop_at is not None and at >= self._stop_at and not self.stopping:
            return self.stop_asked(at)
        return self._finish()

    def _finish(self) -> list[Action]:
        complete = self.stopping or self._is_launched
        if self.finished or not complete or self._living:
            return []
        self.finished = True
        return [Finish()]

    @staticmethod
    def _signals(by_rank: dict[int, int | None]) -> list[Action]:
        return [Signal(rank, sig) for rank, sig in by_rank.items() if sig is not None]
