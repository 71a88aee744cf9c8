"""One run of n ranks. One task owns its state: facts come in through a mailbox, the gang decides, this performs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from aelastic.conduct.board import Board
from aelastic.conduct.containment import Containment
from aelastic.conduct.dropped import stop_dropped
from aelastic.conduct.findings import Findings
from aelastic.conduct.mailbox import Mailbox
from aelastic.conduct.prepare import Prepared, file_threads, prepare
from aelastic.conduct.ranks import Ranks
from aelastic.conduct.readiness import Links, Monitor
from aelastic.conduct.tasks import OwnTask
from aelastic.conduct.workload import Surroundings, Tools, Undelivered
from aelastic.decide.gang import Gang
from aelastic.errors.base import NotRunningError
from aelastic.events import RankExited, RankStarted, RunFinished
from aelastic.logs.specs import release
from aelastic.logs.streams import StreamOptions, Streams
from aelastic.process.limits import explain, name_limit
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aelastic.conduct.prepare import RunSpec
    from aelastic.decide.gang import Action
    from aelastic.decide.plan import RankPlan
    from aelastic.events import RankSnapshot
    from aelastic.results import RunProcsResult

logger = logging.getLogger("aelastic")

_PATIENCE = 5.0
_T = TypeVar("_T")


class Run:
    """The run of ``spec`` in the running loop, from its first process to its result.

    ``started`` and ``finished`` are done when the ranks are running and when everything is over; both carry the
    exception of a start that failed, after what had been started is gone.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.board = Board()
        self.prepared = Prepared()
        self.loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = self.loop.create_future()
        self.finished: asyncio.Future[RunProcsResult] = self.loop.create_future()
        self._tidying: asyncio.Future[object] | None = None
        self._gang = Gang(
            len(spec.ranks),
            death_sig=spec.death_sig,
            shutdown_timeout=spec.shutdown_timeout,
            failure_grace=spec.failure_grace,
        )
        self._ranks = Ranks(self._gang)
        self._drains: list[OwnTask] = []
        self._nothing_to_drain: asyncio.Future[None] = self.loop.create_future()
        self._nothing_to_drain.set_result(None)
        self._own_tasks: set[OwnTask] = set()
        self._hurry: asyncio.Future[None] = self.loop.create_future()
        self._mailbox: Mailbox[Callable[[], list[Action]]] = Mailbox()
        self._executor = spec.shared.executor if spec.shared else file_threads()
        prefixes = {plan.rank: plan.prefix for plan in spec.ranks}
        consoles, siblings = spec.shared.consoles if spec.shared else None, spec.nprocs // len(prefixes)
        self.streams = Streams(StreamOptions(prefixes, time.time, self._spawn, self._executor, consoles, siblings))
        self.containment = Containment(spec.containment, self._executor, time.monotonic)
        self._findings = Findings(spec, self._gang, self._ranks, self.board, self.streams, self.containment)
        self._tools = Tools(self._spawn, self._executor, time.monotonic, self.containment)
        self.monitor = Monitor(spec, Links(self.board, self.streams, self._gang, self._tools, self._mailbox.put))
        self._epoch = time.time() - time.monotonic()
        self._owner_pid = os.getpid()
        self._task = OwnTask(self._conduct(), f"aelastic-{spec.name}", on_cancel=self.stop)
        self._task.add_done_callback(_take_error)

    # What others ask for

    def stop(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """Walk the stop ladder; None means the signal and the grace of the spec."""
        self._mailbox.put(lambda: self._gang.stop_asked(time.monotonic(), death_sig, timeout))

    def kill(self) -> None:
        """Skip the rest of the grace, and wait for nothing that may never come: a disk that does not answer."""
        self.stop(signal.SIGKILL)
        if not self._hurry.done():
            self._hurry.set_result(None)

    def send_signal(self, sig: int, rank: int | None) -> None:
        """Send ``sig`` to the family of ``rank``, or of every rank; those that have ended are left out."""
        for one in self._ranks.processes if rank is None else [rank]:
            if one in self._ranks.processes and one not in self.board.exited:
                self._ranks.processes[one].family.signal(sig)

    def abandon(self) -> None:
        """The context is dropped, or the interpreter ends: stop the ranks, on the loop if it still runs."""
        if self._task.done() or os.getpid() != self._owner_pid:
            return
        stop_dropped(self, self.spec.name, self.longest_stop)

    async def tidied(self) -> None:
        """Wait for what the result did not have to wait for. Bounded."""
        if self._tidying is not None:
            await asyncio.wait({self._tidying}, timeout=_PATIENCE)

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""
        step, line, ready = self._gang.step, self.streams.last_line, self.monitor.is_ready
        ranks = [plan.rank for plan in self.spec.ranks]
        return {rank: self.board.snapshot(rank, step(rank), line(rank), ready=ready(rank)) for rank in ranks}

    # The owner of the state

    async def _conduct(self) -> None:
        try:
            error = await self._start()
            if error is None:
                self.started.set_result(None)
            await self._supervise()
            await self._in_time(self._collect())
            result = self._findings.result(self.prepared, self._epoch, time.monotonic())
            await self._in_time(self._release())
        except BaseException as broken:  # a Ctrl-C in this task, or a fault of ours: nobody may wait for ever
            try:
                self.kill_the_rest()
                guardian = self.containment.drop()
                if guardian is not None and isinstance(broken, Exception):
                    await asyncio.wait({guardian.gone}, timeout=_PATIENCE)
            finally:
                self._fail(broken)
            if not isinstance(broken, Exception):
                raise
            logger.critical("run %r was broken off", self.spec.name, exc_info=True)
            self._close_executor()
            return
        if error is None:
            self.monitor.give_up()
            self.board.close(RunFinished(result, self._wall(time.monotonic())))
            self.finished.set_result(result)
        else:
            await self.tidied()
            self._fail(error)

    async def _start(self) -> Exception | None:
        """Start all ranks; the exception that prevented it, if one did."""
        try:
            self.prepared = await prepare(self.spec, self.streams, self.containment, self.monitor, self._off_loop)
            self.containment.begin()
            for plan in self.spec.ranks:
                await asyncio.sleep(0)
                self._take_facts()
                if self._gang.stopping:
                    break
                await self._launch(plan)
        except Exception as error:  # noqa: BLE001 - a user's LogsSpecs may raise anything; it goes to the caller
            self._ranks.perform(self._gang.stop_asked(time.monotonic()))
            return name_limit(error)
        if len(self._ranks.processes) < len(self.spec.ranks) and self._gang.first_failure is None:
            return NotRunningError(f"run {self.spec.name!r} was stopped while it started")
        return None

    async def _launch(self, plan: RankPlan) -> None:
        rank = plan.rank
        self.containment.expect(rank)
        try:
            surroundings = Surroundings(
                self.prepared.envs[rank],
                self.streams.descriptor(rank, Std.OUT),
                self.streams.descriptor(rank, Std.ERR),
                self.prepared.cpus.get(rank),
                self.spec.sockets.descriptors(),
            )
            process = await self.spec.workload.launch(rank, surroundings, partial(self._exited, rank), self._tools)
        except OSError as error:
            text = f"rank {rank}: the program could not be started: {explain(error)}"
            raise OSError(error.errno, text, error.filename) from error
        self.containment.adopt(rank, process.pid)
        self._gang.started(rank)
        self._ranks.processes[rank] = process
        self.board.add_started(RankStarted(rank, process.pid, self._wall(time.monotonic())))
        self.streams.begin(rank)
        self.monitor.began(rank, process, surroundings.env)

    def _exited(self, rank: int, exitcode: int, at: float) -> None:
        self._mailbox.put(partial(self._note_exit, rank, exitcode, at))

    def _note_exit(self, rank: int, exitcode: int, at: float) -> list[Action]:
        """Whether an exit with 0 is a success may depend on a value, which takes a while to look at."""
        self.containment.leave(rank, self._ranks.processes[rank].pid)
        if exitcode or not self.spec.workload.delivers:
            return self._end(rank, exitcode, at)
        self._spawn(self._judge(rank, at))
        return []

    async def _judge(self, rank: int, at: float) -> None:
        self._findings.outcomes[rank] = await self.spec.workload.outcome(rank, self._tools)
        self._mailbox.put(partial(self._end, rank, 0, at))

    def _end(self, rank: int, exitcode: int, at: float) -> list[Action]:
        if self._gang.finished:
            return []
        failed = exitcode != 0 or isinstance(self._findings.outcomes.get(rank), Undelivered)
        actions = self._gang.exited(rank, exitcode, at, failed=failed)
        collateral, pid = self._gang.ends[rank].collateral, self._ranks.processes[rank].pid
        drained = self._drain(rank, self.spec.drain_timeout)
        self.monitor.ended(rank, exitcode, drained)  # it may have said something before
        self.board.add_exited(RankExited(rank, pid, exitcode, collateral, self._wall(at)))
        return actions

    async def _supervise(self) -> None:
        while not self._gang.finished:
            due = self._gang.next_deadline
            fact = await self._mailbox.get(None if due is None else due - time.monotonic())
            if fact is not None:
                self._ranks.perform(fact())
            self._take_facts()

    def _take_facts(self) -> None:
        """Everything that is known by now, and what time has brought."""
        while (fact := self._mailbox.take()) is not None:
            self._ranks.perform(fact())
        self._ranks.perform(self._gang.deadline(time.monotonic()))

    # The end

    async def _in_time(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``; for a few seconds only, when somebody is in a hurry."""
        task = self._spawn(work)
        await asyncio.wait({task, self._hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=_PATIENCE)
        if not task.done():
            logger.error("run %r is cut short: what is left of its output cannot be read or written", self.spec.name)
            for one in self._own_tasks:
                one.give_up()
            await asyncio.wait(self._own_tasks)
        elif (error := task.exception()) is not None:
            raise error

    async def _collect(self) -> None:
        """The output to its end, what has left its group, values and error files."""
        abandoned = self._findings.abandoned()
        for rank, pid in abandoned.items():
            logger.error("rank %d (pid %d) did not end even after SIGKILL", rank, pid)
            self._drain(rank, 0)
        await self.containment.settle(abandoned.values())
        if self._drains:
            await asyncio.wait(self._drains)
        await self._findings.collect(self.prepared, self._tools, self._off_loop)

    async def _release(self) -> None:
        self.spec.workload.close()
        await self.monitor.close()
        await self.containment.close()
        await self.streams.close(patience=max(self.spec.drain_timeout, 1.0))
        try:
            rest = await self._off_loop(partial(release, self.spec.logs_specs))
        except Exception:
            logger.exception("the logs specs of run %r could not be released", self.spec.name)
        else:
            self._tidying = self.loop.run_in_executor(self._executor, rest) if rest is not None else None
        self._close_executor()

    def _close_executor(self) -> None:
        if self.spec.shared is None:
            self._executor.shutdown(wait=False)

    def _fail(self, error: BaseException) -> None:
        self.board.close(None)
        self.monitor.give_up()
        for future in (self.started, self.finished):
            if not future.done() and not self.loop.is_closed():
                future.set_exception(error)
                future.exception()  # whoever asks for it gets it; nobody has to

    @property
    def longest_stop(self) -> float:
        """Seconds that the ladder may take."""
        return 2 * self.spec.shutdown_timeout + self.spec.drain_timeout + _PATIENCE

    def ask_blocking(self) -> None:
        """The first step of ``stop_blocking``: signal, and wait for nothing."""
        self._ranks.perform(self._gang.stop_asked(time.monotonic()))

    def stop_blocking(self) -> None:
        """The same ladder where no loop runs any more."""
        try:
            self._ranks.stop_blocking(time.monotonic)
        finally:
            self.containment.end_blocking()

    def kill_the_rest(self) -> None:
        """Where no time is left for the ladder."""
        self._ranks.kill_the_rest()

    def _drain(self, rank: int, timeout: float) -> asyncio.Future[None]:
        """It is done when the last of the rank's output is there."""
        if not self.streams.is_captured(rank):
            return self._nothing_to_drain
        self._drains.append(self._spawn(self.streams.drain(rank, timeout)))
        return self._drains[-1]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> OwnTask:
        task = OwnTask(work, f"aelastic-{self.spec.name}-stream", on_cancel=_leave_it_to_the_owner)
        self._own_tasks.add(task)
        task.add_done_callback(self._check)
        return task

    def _check(self, task: OwnTask) -> None:
        """A fault in a task of ours ends the run: nobody may wait for what will not come."""
        self._own_tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._mailbox.put(partial(_raise, error))

    async def _off_loop(self, function: Callable[[], _T]) -> _T:
        return await self.loop.run_in_executor(self._executor, partial(_call, function))

    def _wall(self, at: float) -> float:
        return self._epoch + at


def _call(function: Callable[[], _T]) -> _T:
    """A ``StopIteration`` of a user's would get lost on its way out of the thread, and hang who waits."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("StopIteration came out of a call made in a thread") from error


def _take_error(task: asyncio.Task[None]) -> None:
    """What ends our task is told to who waits, and a Ctrl-C goes through the loop: nothing is left to be retrieved."""
    if not task.cancelled():  # as in a fork of the application
        task.exception()


def _raise(error: BaseException) -> list[Action]:
    raise error


def _leave_it_to_the_owner() -> None:
    """Streams end when their ranks do, and those are stopped by the task that owns the run."""
