"""What can be asked of a supervisor about its ranks: facts for its conductor, and whether they have come true."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from aelastic.elastic.requests import Request, Requests, refuse
from aelastic.errors.base import AelasticError, InvalidArgumentError, NotRunningError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aelastic.conduct.mailbox import Mailbox
    from aelastic.decide.supervision import Action, Supervision
    from aelastic.elastic.blueprint import Args, Blueprint, Envs
    from aelastic.elastic.readiness import ReadyRanks

    Fact: TypeAlias = Callable[[float], list[Action]]


class Control:
    """Turns requests into facts in the ``mailbox``. ``blueprint``: what holds now; requests may change it."""

    def __init__(
        self,
        name: str,
        blueprint: Blueprint,
        supervision: Supervision,
        readiness: ReadyRanks,
        mailbox: Mailbox[Fact],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.blueprint = self._latest = blueprint  # what holds now, and what was last asked for
        self._name = name
        self._supervision = supervision
        self._readiness = readiness
        self._mailbox = mailbox
        self._requests = Requests(loop)
        self._over = False

    # Requests

    def restart(self, rank: int | None) -> asyncio.Future[None]:
        """``rank``, or everybody, is to be started afresh."""
        unit = None if rank is None else self.blueprint.unit_of(rank)
        return self._ask(partial(self._supervision.restart_asked, unit), rank)

    def start_rank(self, rank: int) -> asyncio.Future[None]:
        """``rank`` is to run."""
        return self._ask(partial(self._supervision.start_asked, rank), rank)

    def stop_rank(self, rank: int) -> asyncio.Future[None]:
        """``rank`` is not to run."""
        return self._ask(partial(self._supervision.stop_asked, rank), rank)

    def replace(self, rank: int, ready_within: float | None, *, if_it_runs: bool = False) -> asyncio.Future[None]:
        """There is to be another ``rank``, and then the present one is to go; ``if_it_runs``: else leave it alone."""
        unit = self.blueprint.unit_of(rank)

        def fact(at: float) -> list[Action]:
            if not (if_it_runs or self._supervision.can_replace(unit)):
                raise NotRunningError(f"rank {rank} does not run, or is about to end; it cannot be replaced")
            return self._supervision.replace_asked(unit, at, ready_within)

        must_be_there = None if if_it_runs else rank
        return self._ask(fact, must_be_there, partial(self._supervision.is_replaced, unit), replaces=unit)

    def ready(self, rank: int | None) -> asyncio.Future[None]:
        """Done when ``rank``, or everybody, has become ready."""
        answer = self._requests.promise()
        self._requests.note(Request(answer, partial(self._are_ready, rank)))
        self._requests.settle()
        if self._over:
            self._requests.end(self._too_late())
        return answer

    def unready(self, rank: int | None) -> dict[int, str]:
        """Why ``rank`` is not ready yet, or who of everybody is not."""
        return {one: self._readiness.problem(self.blueprint.unit_of(one), one) for one in self._late(rank)}

    def scale(self, count: int, args: Args, envs: Envs) -> asyncio.Future[None]:
        """There are to be ``count`` ranks. Raises what is wrong with ``args`` and ``envs``, for new ones."""

        self._latest = wanted = self._latest.scaled(count, args, envs)

        def fact(at: float) -> list[Action]:
            self.blueprint = wanted
            return self._supervision.scale_asked(count, at)

        return self._ask(fact, None)

    # Their answers

    def settle(self) -> None:
        """Answer what can be answered by now."""
        self._requests.settle()

    def is_settled(self, rank: int | None) -> bool:
        """Nothing is on its way for ``rank``, or for anybody."""
        if self._supervision.finished:
            return True
        if rank is None:
            return self._supervision.all_settled
        return self._supervision.is_settled(self.blueprint.unit_of(rank))

    def refuse_replacement(self, unit: int, error: AelasticError) -> None:
        """The successor of ``unit`` has not taken over."""
        self._requests.fail_replacement(unit, error)

    def end(self) -> None:
        """Nothing can be asked for any more, and nobody may wait for what will not come."""
        self._over = True
        self._requests.settle()
        self._requests.end(self._too_late())

    def _ask(
        self, fact: Fact, rank: int | None, is_settled: Callable[[], bool] | None = None, replaces: int | None = None
    ) -> asyncio.Future[None]:
        """Feed ``fact`` to the supervision. Done when what it wants is the case, or has failed, or was overtaken."""
        answer = self._requests.promise()
        if self._over:
            refuse(answer, self._too_late())
        else:
            request = Request(answer, is_settled or partial(self.is_settled, rank), replaces)
            self._mailbox.put(partial(self._note_request, fact, rank, request))
        return answer

    def _note_request(self, fact: Fact, rank: int | None, request: Request, at: float) -> list[Action]:
        try:
            self._check(rank)
            actions = fact(at)
        except AelasticError as error:
            refuse(request.answer, error)
            return []
        self._requests.note(request)
        return actions

    def _check(self, rank: int | None) -> None:
        if self._supervision.closing or self._supervision.finished:
            raise self._too_late()
        if rank is None:
            return
        if not 0 <= rank < self.blueprint.nprocs:
            raise InvalidArgumentError(f"rank: expected 0 to {self.blueprint.nprocs - 1}, got {rank!r}")
        if self._supervision.is_lost(self.blueprint.unit_of(rank)):
            raise NotRunningError(f"rank {rank} did not end even after SIGKILL; it cannot be started again")

    def _too_late(self) -> NotRunningError:
        return NotRunningError(f"the supervisor of {self._name!r} is stopping, or has ended")

    def _are_ready(self, rank: int | None) -> bool:
        late = self._late(rank)
        losses = [loss for one in late if (loss := self._readiness.loss(self.blueprint.unit_of(one), one)) is not None]
        if losses:
            raise min(losses, key=lambda loss: loss.at).error  # the others may have been stopped for that one
        return not late

    def _late(self, rank: int | None) -> list[int]:
        """Who of them is not ready."""
        ranks = range(self.blueprint.nprocs) if rank is None else [rank]
        return [one for one in ranks if not self._readiness.is_ready(self.blueprint.unit_of(one), one)]
