"""Runs one after another. One task owns the state: facts come in through a mailbox, ``Supervision`` decides."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from aelastic.conduct.dropped import stop_dropped
from aelastic.conduct.event_log import log_event
from aelastic.conduct.mailbox import Mailbox
from aelastic.conduct.prepare import Shared, file_threads
from aelastic.conduct.tasks import OwnTask
from aelastic.decide.restarts import Outcome
from aelastic.decide.supervision import GiveUp, Restarting, Start, Stop
from aelastic.elastic.attempt_logs import release_wholly
from aelastic.elastic.attempts import Attempts, Ended, end_of, end_of_start, not_started
from aelastic.elastic.control import Control
from aelastic.elastic.fleet import Fleet
from aelastic.elastic.readiness import ReadyRanks
from aelastic.errors.base import AelasticError, NotRunningError
from aelastic.errors.not_ready import NotReadyError
from aelastic.events import (
    GaveUp,
    RankProgress,
    RankReady,
    RankRestarting,
    RankSnapshot,
    RankState,
    RankStatus,
    RunFinished,
)
from aelastic.logs.consoles import Consoles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aelastic.conduct.board import Story
    from aelastic.conduct.prepare import RunSpec
    from aelastic.conduct.run import Run
    from aelastic.decide.supervision import Action, Supervision
    from aelastic.elastic.blueprint import Blueprint
    from aelastic.elastic.fleet import Instance
    from aelastic.elastic.lines import Lines
    from aelastic.events import Event
    from aelastic.results import RunProcsResult

    Fact: TypeAlias = Callable[[float], list[Action]]
    Unready: TypeAlias = Mapping[int, NotReadyError]

logger = logging.getLogger("aelastic")
_event_logger = logging.getLogger("aelastic.events")

_PATIENCE, _CONSOLE_PATIENCE = 5.0, 1.0


class Conductor:
    """Performs what ``supervision`` decides about the units of ``blueprint``, in the running loop.

    ``started`` is done when every unit has been started, or has been tried to, ``finished`` when everything is over.
    Both carry the exception of a first start that failed.
    """

    def __init__(self, name: str, blueprint: Blueprint, supervision: Supervision, story: Story, lines: Lines) -> None:
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = self.loop.create_future()
        self.finished: asyncio.Future[RunProcsResult] = self.loop.create_future()
        self.fleet = Fleet(self._publish, lines)
        self._supervision = supervision
        self._story = story
        self._lines = lines
        self.attempts = Attempts()
        self._mailbox: Mailbox[Fact] = Mailbox()
        readiness = ReadyRanks(supervision, self.fleet, self.attempts)
        self.control = Control(name, blueprint, supervision, readiness, self._mailbox, self.loop)
        self._stop_options: tuple[int | None, float | None] = (None, None)
        self._hurry: asyncio.Future[None] = self.loop.create_future()
        self._error: Exception | None = None
        self.restarts = 0
        self._shared = Shared(file_threads(), Consoles())
        self._epoch = time.time() - time.monotonic()
        self._owner_pid = os.getpid()
        self._task = OwnTask(self._conduct(), f"aelastic-{name}-supervisor", on_cancel=self.stop)
        self._task.add_done_callback(_take_error)

    # What others ask for

    def stop(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """Stop every rank and start none from now on; None means the signal and the grace of the runs."""
        self.fleet.stop_starting(death_sig, timeout)
        self._mailbox.put(partial(self._note_stop, death_sig, timeout))

    def kill(self) -> None:
        """Skip the rest of the grace, and wait for nothing that may never come: a disk that does not answer."""
        self.stop(signal.SIGKILL)
        if not self._hurry.done():
            self._hurry.set_result(None)

    def abandon(self) -> None:
        """The handle is dropped, or the interpreter ends: stop the ranks, on the loop if it still runs."""
        if not self._task.done() and os.getpid() == self._owner_pid:
            stop_dropped(self, self.name, sum(run.longest_stop for run in self.fleet.runs))

    def stop_blocking(self) -> None:
        """Stop every rank where no loop runs any more."""
        self.fleet.stop_blocking()

    def kill_the_rest(self) -> None:
        """Where no time is left for the ladder."""
        self.fleet.kill_the_rest()

    def send_signal(self, sig: int, rank: int | None) -> None:
        """Send ``sig`` to ``rank``, or to everybody; not to who is about to take a place, or has lost it."""
        for unit in self._supervision.units:
            if (instance := self._instance(unit)) is not None:
                instance.run.send_signal(sig, rank)

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""
        units = self._supervision.units
        return {rank: seen for unit in units for rank, seen in self._seen(unit).items()}

    def pids(self) -> dict[int, int]:
        """The pid of every rank that runs."""
        instances = [self._instance(unit) for unit in self._supervision.units]
        boards = [instance.run.board for instance in instances if instance is not None]
        return {rank: one.pid for board in boards for rank, one in board.started.items() if rank not in board.exited}

    # The owner of the state

    async def _conduct(self) -> None:
        try:
            self._take_facts()
            self._perform(self._supervision.begin(time.monotonic()))
            await self._supervise()
            result = await self._conclude()
        except BaseException as broken:  # a Ctrl-C in this task, or a fault of ours: nobody may wait for ever
            try:
                self.kill_the_rest()
            finally:
                self._fail(broken)
            if not isinstance(broken, Exception):
                raise
            logger.critical("the supervisor of %r was broken off", self.name, exc_info=True)
            await self._end_runs()
            await self._close_shared()
            return
        error = None if self.started.done() else self._error_of_start()
        if error is None:
            self._publish(RunFinished(result, self._wall(time.monotonic())))
            self._let_go()
            if not self.started.done():
                self.started.set_result(None)
            self.finished.set_result(result)
        else:
            self._fail(error)

    async def _supervise(self) -> None:
        while not self._supervision.finished:
            due = self._supervision.next_deadline
            fact = await self._mailbox.get(None if due is None else due - time.monotonic())
            if fact is not None:
                self._perform(fact(time.monotonic()))
            self._take_facts()
            self._perform(self._supervision.deadline(time.monotonic()))
            self._answer()

    def _take_facts(self) -> None:
        """Everything that is known by now. What time has brought comes after it, so that a stop prevents a start."""
        while (fact := self._mailbox.take()) is not None:
            self._perform(fact(time.monotonic()))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                self._start(action)
            elif isinstance(action, Stop):
                self._stop(self.fleet.instances[action.unit, action.number].run)
            elif isinstance(action, Restarting):
                self._tell_of_restart(action)
            elif isinstance(action, GiveUp):
                self._tell_of_giving_up(action)

    def _stop(self, run: Run) -> None:
        if self._hurry.done():
            run.kill()
        else:
            run.stop(*self._stop_options)

    def _start(self, action: Start) -> None:
        unit, number = action.unit, action.number
        self.restarts += number > 0 and not self._supervision.is_successor(unit, number)
        running = [other for one, other in self.fleet.instances if one == unit]
        spec = self.control.blueprint.spec(unit, number, self._shared, running)
        instance = self.fleet.start(unit, number, _hurried(spec, action.ready_within))
        instance.run.started.add_done_callback(partial(self._told_started, instance))
        instance.run.finished.add_done_callback(partial(self._told_finished, instance))

    def _told_started(self, instance: Instance, started: asyncio.Future[None]) -> None:
        if started.exception() is None:
            self._mailbox.put(partial(self._supervision.started, instance.unit, instance.number))
            self._mailbox.put(partial(self._note_ready, instance))

    def _told_finished(self, instance: Instance, finished: asyncio.Future[RunProcsResult]) -> None:
        self._mailbox.put(partial(self._note_end, instance, finished))

    def _note_ready(self, instance: Instance | None, at: float) -> list[Action]:
        """A rank of it is. Only of a successor does that change anything."""
        if instance is None or not self._supervision.is_successor(instance.unit, instance.number):
            return []
        if not (instance.run.started.done() and instance.was_ready()):
            return []
        return self._supervision.ready(instance.unit, instance.number, at)

    def _note_end(self, instance: Instance, finished: asyncio.Future[RunProcsResult], at: float) -> list[Action]:
        del self.fleet.instances[instance.unit, instance.number]
        error = finished.exception()
        if error is None:
            result, unready = finished.result(), instance.losses()
            self._remember(instance, result, at, unready, started=True)
            end = end_of(result, at - instance.began)
        elif isinstance(error, Exception) and instance.run.started.exception() is not None:
            end = end_of_start(error, instance.snapshot().values())
            unready = {rank: NotReadyError(self.name, rank, end.reason) for rank in instance.ranks}
            if end.outcome is not Outcome.STOPPED:
                self._error = error
                failed = not_started(instance.ranks, error, self._wall(at))
                self._remember(instance, failed, at, unready, started=False)
        else:
            raise AelasticError(f"a run of {self.name!r} was broken off") from error
        if self._supervision.is_successor(instance.unit, instance.number):
            self._tell_of_loss(instance, unready)
        return self._supervision.ended(instance.unit, instance.number, at, end)

    def _remember(
        self, instance: Instance, result: RunProcsResult, at: float, unready: Unready, *, started: bool
    ) -> None:
        counts = self._supervision.number(instance.unit) == instance.number
        self.attempts.add(
            Ended(
                unit=instance.unit,
                number=instance.number,
                ranks=instance.ranks,
                started_at=self._wall(instance.began),
                ended_at=self._wall(at),
                started=started,
                result=result,
                snapshots=instance.snapshot(),
                unready=unready,
            ),
            counts=counts,
        )

    def _note_stop(self, death_sig: int | None, timeout: float | None, at: float) -> list[Action]:
        self._stop_options = death_sig, timeout
        return self._supervision.close_asked(at, at_once=death_sig == signal.SIGKILL)

    def _answer(self) -> None:
        self.control.settle()
        if not (self.started.done() or self._supervision.closing) and self.control.is_settled(None):
            self.started.set_result(None)

    def _instance(self, unit: int) -> Instance | None:
        """The one that counts."""
        return self.fleet.find(unit, self._supervision.number(unit))

    # What is told

    def _publish(self, event: Event) -> None:
        self._story.publish(event)
        log_event(event, _event_logger, logging.DEBUG if isinstance(event, RankStatus | RankProgress) else logging.INFO)
        if isinstance(event, RankReady):
            instance = self.fleet.find(self.control.blueprint.unit_of(event.rank), event.attempt)
            self._mailbox.put(partial(self._note_ready, instance))

    def _tell_of_restart(self, action: Restarting) -> None:
        at, ranks = self._wall(time.monotonic()), self.control.blueprint.ranks_of(action.unit)
        who = "every rank" if len(ranks) > 1 else f"rank {ranks[0]}"
        logger.warning("%s starts again in %.3g s: %s", who, action.delay, action.reason)
        for rank in ranks:
            self._publish(RankRestarting(rank, action.number, action.delay, action.reason, at))

    def _tell_of_loss(self, instance: Instance, unready: Unready) -> None:
        (rank,) = instance.ranks
        error = unready.get(rank) or NotReadyError(self.name, rank, "was told to stop")  # just as it became ready
        logger.warning("rank %d is not replaced: the new one %s", rank, error.reason)
        self.control.refuse_replacement(instance.unit, error)

    def _tell_of_giving_up(self, action: GiveUp) -> None:
        self.attempts.blame(action.unit, action.reason)
        logger.error("gave up restarting %r: %s", self.name, action.reason)
        last = self.attempts.last[action.unit]
        self._error = None if last.started else self._error
        cause = last.result.first_failure
        self._publish(GaveUp(action.reason, self._wall(time.monotonic()), cause.local_rank if cause else None))

    def _seen(self, unit: int) -> dict[int, RankSnapshot]:
        instance, last = self._instance(unit), self.attempts.last.get(unit)
        if instance is not None:
            return instance.snapshot()
        ranks = self.control.blueprint.ranks_of(unit)
        if last is None:
            return {rank: RankSnapshot(rank, RankState.PENDING, None, None, None, None, "") for rank in ranks}
        if self._supervision.is_waiting(unit):
            return {rank: replace(seen, state=RankState.WAITING) for rank, seen in last.snapshots.items()}
        return dict(last.snapshots)

    # The end

    async def _conclude(self) -> RunProcsResult:
        await self._release()
        await self._close_shared()
        units = self._supervision.units
        return self.attempts.result(self.name, units, restarts=self.restarts, gave_up=self._supervision.gave_up)

    async def _release(self) -> None:
        releasing = self.loop.run_in_executor(self._shared.executor, release_wholly, self.control.blueprint.logs_specs)
        await asyncio.wait({releasing, self._hurry}, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait({releasing}, timeout=_PATIENCE)
        if not done:
            logger.error("the logs specs of %r are not released in time", self.name)
        elif (error := releasing.exception()) is not None:
            logger.error("the logs specs of %r could not be released", self.name, exc_info=error)

    async def _end_runs(self) -> None:
        runs = self.fleet.runs
        for run in runs:
            run.kill()
        if runs:
            await asyncio.wait({run.finished for run in runs})

    async def _close_shared(self) -> None:
        await self._shared.consoles.close(_CONSOLE_PATIENCE)
        self._shared.executor.shutdown(wait=False)

    def _error_of_start(self) -> Exception | None:
        """Why the supervision is over before it had begun properly; None when it was just short."""
        if self._supervision.gave_up:
            return self._error
        if self._supervision.closing:
            return NotRunningError(f"the supervisor of {self.name!r} was stopped while it started")
        return None

    def _fail(self, error: BaseException) -> None:
        self._let_go()
        for future in (self.started, self.finished):
            if not future.done() and not self.loop.is_closed():
                future.set_exception(error)
                future.exception()  # whoever asks for it gets it; nobody has to

    def _let_go(self) -> None:
        """Nobody may wait for what will not come."""
        self._story.close()
        self._lines.close()
        self.control.end()

    def _wall(self, at: float) -> float:
        return self._epoch + at


def _hurried(spec: RunSpec, ready_within: float | None) -> RunSpec:
    """``spec`` for who has no more than these seconds to become ready."""
    if ready_within is None:
        return spec
    limits = [seconds for seconds in (spec.health.ready_timeout, ready_within) if seconds is not None]
    return replace(spec, health=replace(spec.health, ready_timeout=min(limits)))


def _take_error(task: asyncio.Task[None]) -> None:
    """What ends our task is told to who waits, and a Ctrl-C goes through the loop: nothing is left to be retrieved."""
    if not task.cancelled():  # as in a fork of the application
        task.exception()
