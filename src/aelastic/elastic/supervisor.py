"""The public handle on ranks that are started again when they end."""

from __future__ import annotations

import asyncio
import math
import random
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args, overload

from aelastic.conduct.board import Story
from aelastic.conduct.context import stop_options
from aelastic.conduct.launch import start_processes
from aelastic.conduct.mailbox import LONGEST_WAIT
from aelastic.conduct.readiness import describe_delay
from aelastic.conduct.waiting import wait_or_stop
from aelastic.decide.restarts import RestartPolicy
from aelastic.decide.supervision import Strategy, Supervision
from aelastic.elastic.blueprint import Blueprint
from aelastic.elastic.conductor import Conductor
from aelastic.elastic.lines import Lines
from aelastic.errors.base import InvalidArgumentError, NotRunningError
from aelastic.logs.specs import DefaultLogsSpecs
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType
    from typing import Literal, Self, Unpack

    from aelastic.conduct.context import Starting
    from aelastic.conduct.run import Run
    from aelastic.elastic.blueprint import Args, Envs
    from aelastic.elastic.control import Control
    from aelastic.elastic.options import RunOptions
    from aelastic.events import Event, LogLine, RankSnapshot
    from aelastic.logs.specs import LogsSpecs
    from aelastic.logs.subscription import Subscription
    from aelastic.results import Attempt, RunProcsResult

_LINES_WAITING = 10_000


class Supervisor:
    """Ranks that are started again when they end. For use in the loop that it was started in.

    ``async with`` starts them and, at the end of the block, stops what still runs; ``start``, ``wait`` and ``close``
    do the same by hand. Every way to stop is that of ``PContext``, with the same ladder and the same grace: at the
    end, when cancelled, and before a restart. A stop always wins: once it was asked for, nothing is started. A
    supervisor that is dropped without being closed warns with ``ResourceWarning`` and stops its ranks.

    What the strategies mean when a rank fails:
        ``"one_for_all"``: the ranks are a gang, as with ``start_processes``; all are stopped, and all start again.
        ``"one_for_one"``: each rank has a life of its own; it alone starts again.
        ``"rest_for_one"``: each rank depends on those before it. It and those after it start again, also those after
            it that were done. They start in order, each when the one before has, and stop in reverse order.

    The environment of a rank tells which start this is, ``TORCHELASTIC_RESTART_COUNT`` (from 0; with ``one_for_one``
    and ``rest_for_one`` each rank has its own count), and ``TORCHELASTIC_MAX_RESTARTS``, unless there is no limit.
    The log files of each start are in a directory ``attempt_<n>`` of that number, see ``DefaultLogsSpecs``. Names,
    ``one_for_all`` and these variables are torch's, the other strategies are OTP's.

    Args:
        name, entrypoint, args, envs, logs_specs, options: as of ``start_processes``.
        strategy: who is started again.
        restart: when, how often, and after what time; None: ``RestartPolicy()``.

    Raises ``InvalidRanksError`` and ``InvalidArgumentError``; both say which rank and argument.
    """

    def __init__(
        self,
        name: str,
        entrypoint: Callable[..., Any] | str,
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]],
        logs_specs: LogsSpecs | None = None,
        *,
        strategy: Strategy = "one_for_all",
        restart: RestartPolicy | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        if strategy not in get_args(Strategy):
            raise InvalidArgumentError(f"strategy: expected one of {get_args(Strategy)}, got {strategy!r}")
        self.name = name
        self.entrypoint = entrypoint
        self.strategy: Strategy = strategy
        self.policy = RestartPolicy() if restart is None else restart
        specs = DefaultLogsSpecs() if logs_specs is None else logs_specs

        def make(args: Args, envs: Envs) -> Starting[Any]:
            return start_processes(name, entrypoint, args, envs, specs, **_without(first - set(args or ()), options))

        first = frozenset(args or ())
        gang = strategy == "one_for_all"
        self._blueprint = Blueprint(make, args, envs, specs, gang=gang, max_restarts=self.policy.max_restarts)
        self._story = Story()
        self._lines = Lines()
        self._conductor: Conductor | None = None
        self._supervision: Supervision | None = None
        self._stop_requested = False

    async def start(self, rank: int | None = None) -> Self:
        """Start every rank; or, while they run, let ``rank`` run again that has ended or was stopped.

        Returns when every rank was started. A first start that fails, such as that of a missing program, stops
        everything and is raised, unless ``RestartPolicy.retry_start`` says that it is to be tried again; see
        ``PContext.start``. Cancelling stops what was started.

        With ``rank`` (``one_for_one`` only) it returns when the rank was started, or has failed to, or somebody has
        asked for something else meanwhile. A rank that runs already, or will, is left alone; one in its back-off is
        started at once. Cancelling that changes nothing.
        """
        if rank is not None:
            await self._own_life("start").start_rank(_number(rank))
            return self
        if self._conductor is not None:
            raise ValueError(f"{self.name!r} was started already; make a new supervisor")
        if self._stop_requested:
            raise NotRunningError(f"{self.name!r} was told to stop before it was started")
        units = 1 if self.strategy == "one_for_all" else self.nprocs
        self._supervision = Supervision(units, self.strategy, self.policy, random.random)
        self._conductor = conductor = Conductor(self.name, self._blueprint, self._supervision, self._story, self._lines)
        finalizer = weakref.finalize(self, conductor.abandon)
        conductor.finished.add_done_callback(lambda _: finalizer.detach())  # its error may hold us by a traceback
        await wait_or_stop(conductor, conductor.started, None)
        conductor.started.result()
        return self

    @overload
    async def wait(self, timeout: None = None) -> RunProcsResult: ...

    @overload
    async def wait(self, timeout: float | None) -> RunProcsResult | None: ...

    async def wait(self, timeout: float | None = None) -> RunProcsResult | None:
        """Wait until no rank runs or will be started; the results of their last attempts as one, with the history.

        That is so when every rank has ended for good, when the supervisor has given up, or when it was closed. A rank
        that was stopped by ``stop`` can be started again, and is waited for. ``timeout`` is in seconds: None or
        negative waits until then, 0 asks once. When it is over before the ranks are, the answer is None and they go
        on. Cancelling stops the ranks, and leaves when they are gone.

        Raises ``NotRunningError`` before ``start``.
        """
        conductor = self._running_conductor()
        endless = timeout is None or timeout < 0 or timeout > LONGEST_WAIT
        await wait_or_stop(conductor, conductor.finished, None if endless else timeout)
        return conductor.finished.result() if conductor.finished.done() else None

    async def close(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """Stop every rank, and start none any more: ``death_sig``, at most ``timeout`` seconds of grace, then SIGKILL.

        None: as constructed. Returns when every process is gone (or was given up, see ``RunProcsResult.abandoned``).
        Can be called at any time, by several tasks, and again. Cancelling skips the rest of the grace. With
        ``rest_for_one`` each rank has its grace after those that depend on it are gone.
        """
        sig, grace = stop_options(death_sig, timeout)
        if self._conductor is not None:
            conductor = self._running_conductor()
            conductor.stop(sig, grace)
            await wait_or_stop(conductor, conductor.finished, None, stopping=True)

    def request_stop(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """As ``close``, but without waiting for the end: for callbacks. Before ``start`` it makes that refuse."""
        sig, grace = stop_options(death_sig, timeout)
        if self._conductor is None:
            self._stop_requested = True
        else:
            self._conductor.stop(sig, grace)

    # One rank

    async def restart(self, rank: int | None = None) -> None:
        """Stop ``rank`` by the ladder and start it afresh, at once and without using up the budget; None: every rank.

        With ``one_for_all`` every rank goes with it, with ``rest_for_one`` those after it. Returns when the new one
        was started, or has failed to, or somebody has asked for something else meanwhile. Cancelling changes nothing.

        Raises ``NotRunningError`` when the supervisor is stopping or has ended, ``InvalidArgumentError`` for a rank
        that is not there.
        """
        await self._running_conductor().control.restart(None if rank is None else _number(rank))

    async def stop(self, rank: int) -> None:
        """Stop ``rank`` by the ladder; it stays stopped until ``start(rank)``. For ``one_for_one``.

        Returns when it is gone, or somebody has asked for something else meanwhile. Cancelling changes nothing.
        Raises as ``restart`` does.
        """
        await self._own_life("stop").stop_rank(_number(rank))

    async def replace(self, rank: int | None = None, timeout: float | None = None) -> None:
        """Start another ``rank`` beside the present one, and stop that by the ladder once the new one is ready.

        For ``one_for_one``. The new one becomes the rank when it is ready, as ``readiness`` says; without ``readiness``
        that is when it is started. It uses up no budget, and the end of the old one is no failure. Its events and log
        files have the next number of an attempt. Returns when the old one is gone. None: every rank that runs, one
        after another, up to the first that cannot be replaced. For a while there are both: what only one process can
        have, such as a port, they must share, see ``sockets``.

        ``timeout`` is the time in seconds that each new one has to become ready, if ``readiness`` was given; None:
        ``ready_timeout``. A rank that is being replaced already is not replaced once more. A stop or a restart
        overtakes a replacement. Cancelling stops nothing: the rank that is being replaced will be, the others not.

        Raises ``NotReadyError``, with its last lines, when the new one has ended before it was ready, or was told to:
        the old one is kept. Raises ``NotRunningError`` when ``rank`` does not run, and as ``restart`` does.
        """
        control = self._own_life("replace")
        if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout < math.inf):
            raise InvalidArgumentError(f"timeout: expected seconds, more than 0, or None, got {timeout!r}")
        if rank is not None:
            await control.replace(_number(rank), timeout)
            return
        for one in range(self.nprocs):
            if one < self.nprocs:  # there may be fewer by now
                await control.replace(one, timeout, if_it_runs=True)

    async def ready(self, timeout: float | None = None, rank: int | None = None) -> None:
        """Wait until every rank, or ``rank``, has become ready, as ``readiness`` says. It may have ended since.

        An attempt that ends before it is ready ends the waiting only if no other one follows. ``timeout`` is in
        seconds; None or negative waits as long as it takes. Neither its end nor cancelling stops a rank.

        Raises ``NotReadyError``, with its last lines, as soon as a rank ends before it is ready and will not be started
        again; ``TimeoutError``, which says what is missing; ``NotRunningError`` before ``start``, and when a rank was
        stopped before it was started.
        """
        control, who = self._running_conductor().control, self._check_rank(rank)
        seconds = None if timeout is None or timeout < 0 else min(timeout, LONGEST_WAIT)
        answer = control.ready(who)
        try:
            done, _ = await asyncio.wait({answer}, timeout=seconds)
        finally:
            answer.cancel()  # if it has not come; nobody waits for it any more
        if not done:
            raise TimeoutError(describe_delay(self.name, seconds or 0.0, control.unready(who)))
        answer.result()

    async def scale(self, nprocs: int, args: Args | None = None, envs: Envs | None = None) -> None:
        """Have the ranks 0 to ``nprocs`` - 1: stop those that are too many by the ladder, start those that are missing.

        ``args`` and ``envs`` are those of new ranks; without them a rank is what it was if it was there before, else
        like the others, if these are all the same. For ``one_for_one``. Returns when they have started and are gone.
        Cancelling changes nothing. Raises as ``restart`` and ``start_processes`` do; nothing is changed then.
        """
        control = self._own_life("scale")
        if not isinstance(nprocs, int) or nprocs < 1:
            raise InvalidArgumentError(f"nprocs: expected 1 or more, got {nprocs!r}")
        await control.scale(nprocs, args or {}, envs or {})

    # What there is to see

    @property
    def nprocs(self) -> int:
        """How many ranks there are to be."""
        return (self._conductor.control.blueprint if self._conductor is not None else self._blueprint).nprocs

    @property
    def result(self) -> RunProcsResult | None:
        """The result, once there is one."""
        one = self._conductor
        over = one is not None and one.finished.done() and one.finished.exception() is None
        return one.finished.result() if one is not None and over else None

    @property
    def done(self) -> bool:
        """Whether everything is over: every rank for good, or a first start that failed, which has no result."""
        return self._conductor is not None and self._conductor.finished.done()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The last 100 attempts that are over, in the order of their ends."""
        return self._conductor.attempts.history if self._conductor is not None else ()

    @property
    def restarts(self) -> int:
        """How often a rank, or all of them together, was started again so far."""
        return self._conductor.restarts if self._conductor is not None else 0

    @property
    def gave_up(self) -> str:
        """Why it restarts nothing any more, although something should run; ``""`` when it has not given up."""
        return self._supervision.gave_up if self._supervision is not None else ""

    @property
    def stdouts(self) -> dict[int, str]:
        """Log file of standard output by rank, of its present attempt or its last; ``""`` where it is the console."""
        return self._log_files("stdouts")

    @property
    def stderrs(self) -> dict[int, str]:
        """The same of standard error."""
        return self._log_files("stderrs")

    @property
    def log_bytes(self) -> dict[str, int]:
        """Log file of a present attempt to the number of bytes that were written to it so far."""
        return {path: count for run in self._runs() for path, count in run.streams.written_bytes().items()}

    @property
    def lost_log_bytes(self) -> dict[str, int]:
        """The same for the bytes that could not be written (a full disk)."""
        return {path: count for run in self._runs() for path, count in run.streams.lost_bytes().items()}

    def pids(self) -> dict[int, int]:
        """The pid of every rank that runs."""
        return self._started_conductor().pids()

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now, or as it was when it ended; one in its back-off is ``RankState.WAITING``."""
        return self._started_conductor().snapshot()

    def send_signal(self, sig: int, rank: int | None = None) -> None:
        """Send ``sig`` to ``rank`` and what it has started, or to every rank. This is no request to stop."""
        conductor = self._started_conductor()
        stop_options(sig, None)
        conductor.send_signal(sig, self._check_rank(rank))

    def events(self) -> Subscription[Event]:
        """An async iterator over everything that happens to the ranks, until the end; at any time, by anybody.

        It begins with the first event (with the last 10 000, after very many). Asked for before the start, it misses
        nothing. The logger ``"aelastic.events"`` has them all, as information.
        """
        return self._story.subscribe()

    def logs(
        self, rank: int | None = None, stream: Std = Std.ALL, capacity: int = _LINES_WAITING, max_delay: float = 0.0
    ) -> Subscription[LogLine]:
        """An async iterator over the captured lines of all attempts, of one rank or of all, until the end.

        It begins with what is still remembered of the present ones. See ``PContext.logs``.
        """
        return self._lines.subscribe(rank, stream, capacity, max_delay, [run.streams.feed for run in self._runs()])

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _check_rank(self, rank: int | None) -> int | None:
        if rank is not None and not 0 <= _number(rank) < self.nprocs:
            raise InvalidArgumentError(f"rank: expected 0 to {self.nprocs - 1}, got {rank}")
        return rank

    def _runs(self) -> list[Run]:
        return self._conductor.fleet.runs if self._conductor is not None else []

    def _log_files(self, table: Literal["stdouts", "stderrs"]) -> dict[int, str]:
        ended = self._conductor.attempts.last.values() if self._conductor is not None else ()
        seen = [*(one.result for one in ended), *(run.prepared.dest for run in self._runs())]
        return {rank: path for one in seen for rank, path in getattr(one, table).items() if rank < self.nprocs}

    def _started_conductor(self) -> Conductor:
        if self._conductor is None:
            raise NotRunningError(f"{self.name!r} was not started: await its start() or enter it with 'async with'")
        return self._conductor

    def _running_conductor(self) -> Conductor:
        conductor = self._started_conductor()
        if conductor.loop is not asyncio.get_running_loop():
            raise NotRunningError(f"{self.name!r} was started in another loop; use it there")
        return conductor

    def _own_life(self, what: str) -> Control:
        if self.strategy != "one_for_one":
            raise InvalidArgumentError(f"{what}(): with {self.strategy} no rank lives by itself; use one_for_one")
        return self._running_conductor().control


def _without(ranks: Collection[int], options: RunOptions) -> RunOptions:
    """The ``options`` when there are no ``ranks`` any more."""
    readiness = options.get("readiness")
    if not isinstance(readiness, Mapping):
        return options
    narrowed = options.copy()
    narrowed["readiness"] = {rank: word for rank, word in readiness.items() if rank not in ranks}
    return narrowed


def _number(rank: int) -> int:
    if not isinstance(rank, int):
        raise InvalidArgumentError(f"rank: expected a number, got {rank!r}")
    return rank
