"""The public handle on a run."""

from __future__ import annotations

import asyncio
import signal
import weakref
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from aelastic.conduct.containment import Mode
from aelastic.conduct.mailbox import LONGEST_WAIT
from aelastic.conduct.prepare import RunSpec
from aelastic.conduct.run import Run
from aelastic.conduct.sockets import shared_sockets
from aelastic.conduct.waiting import wait_or_stop
from aelastic.conduct.workload import ProgramWorkload
from aelastic.decide.plan import plan_ranks
from aelastic.decide.readiness import plan_health
from aelastic.errors.base import InvalidArgumentError, NotRunningError
from aelastic.logs.specs import DefaultLogsSpecs
from aelastic.std import Std
from aelastic.worker.bootstrap import is_importing_main

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from aelastic.conduct.functions import StartMethod
    from aelastic.conduct.prepare import Shared
    from aelastic.conduct.sockets import Sockets
    from aelastic.conduct.workload import Workload
    from aelastic.decide.plan import RankPlan
    from aelastic.events import Event, LogLine, RankSnapshot
    from aelastic.logs.specs import LogsSpecs
    from aelastic.logs.subscription import Subscription
    from aelastic.numa import NumaOptions
    from aelastic.readiness import Readiness
    from aelastic.results import RunProcsResult

_LINES_WAITING = 10_000


class PContext(ABC):
    """A group of ranks that run together and end together. For use in the loop that it was started in.

    ``async with`` starts it and, at the end of the block, stops what still runs; ``start``, ``wait`` and ``close``
    do the same by hand. A context that is dropped without being closed warns with ``ResourceWarning`` and stops its
    ranks.

    Args:
        name: goes in front of the rank in the header of its lines and into the ``ChildFailedError``.
        entrypoint: what to run.
        args: arguments by local rank 0..n-1, a tuple each.
        envs: environment by local rank, added to the application's own.
        logs_specs: where the output goes; None: to the console.
        log_line_prefixes: header of the lines by local rank, in place of ``[<name><rank>]:``.
        numa_options: bind each rank to the cpus near its GPU; None: it runs wherever this process may.
        duplicate_stdout_filters, duplicate_stderr_filters: the teed lines that contain any of these strings are
            also written to ``filtered_stdout.log`` and ``filtered_stderr.log``.
        death_sig: the signal that asks a rank to end.
        shutdown_timeout: seconds between ``death_sig`` and SIGKILL, on every path.
        drain_timeout: seconds that output may still come after its rank's exit, from what holds the stream open.
        failure_grace: seconds between the first failure and the stop of the others.
        readiness: how a rank shows that it is ready: ``Notify()``, or a probe such as ``TcpProbe(8000)``; one for all
            or by local rank. None: it is ready as soon as it is started.
        ready_timeout: seconds that a rank may take to become ready; then it counts as hung. None: any time.
        watchdog: seconds within which a rank that is ready must give a heartbeat (``aelastic.rank.heartbeat()`` or
            ``WATCHDOG=1``), again and again, else it counts as hung. Where ``readiness`` is None, its first one makes
            it ready. A rank that hangs is asked for its stacks, then told to end as by ``close``, and has failed.
        strip_escapes: show teed lines without escape sequences and control characters; None: where they are not
            shown by a terminal. Filtered logs are without, unless False; log files and ``logs()`` have every byte.
        containment: how far what a rank starts may go and still end with it: ``"group"``, not out of its process
            group; ``"marker"``, anywhere, as long as it keeps its environment; ``"cgroup"``, anywhere, through a
            control group of its own (Linux, cgroup v2, a directory that can be written to). Each includes those
            before it. None: the strongest that works here. A process started with ``AELASTIC_DETACH=1`` in its
            environment and a session of its own is left alone, see ``RunProcsResult.detached``.
        sockets: listening sockets, in order or by name, that every program has as its descriptors 3, 4, and so on, with
            systemd's ``LISTEN_FDS``, ``LISTEN_PID`` and ``LISTEN_FDNAMES``. They stay the caller's, who keeps them
            open: connections wait in them while no rank is there to take them. A port that all share says of no rank
            that it is ready, so use ``Notify`` or ``LogProbe`` with them.

    Raises ``InvalidRanksError`` and ``InvalidArgumentError``; both say which rank and argument.
    """

    def __init__(
        self,
        name: str,
        entrypoint: Callable[..., Any] | str,
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]],
        logs_specs: LogsSpecs | None = None,
        log_line_prefixes: Mapping[int, str] | None = None,
        numa_options: NumaOptions | None = None,
        duplicate_stdout_filters: Sequence[str] | None = None,
        duplicate_stderr_filters: Sequence[str] | None = None,
        *,
        death_sig: int = signal.SIGTERM,
        shutdown_timeout: float = 30.0,
        drain_timeout: float = 1.0,
        failure_grace: float = 0.0,
        readiness: Readiness | Mapping[int, Readiness] | None = None,
        ready_timeout: float | None = None,
        watchdog: float | None = None,
        strip_escapes: bool | None = None,
        containment: Mode | None = None,
        sockets: Sockets = (),
    ) -> None:
        self.name = name
        self.entrypoint = entrypoint
        self.args = args
        self.envs = envs
        self.nprocs = len(args)
        ranks = plan_ranks(name, args, envs, log_line_prefixes, program=isinstance(entrypoint, str))
        filters = {Std.OUT: duplicate_stdout_filters, Std.ERR: duplicate_stderr_filters}
        self._spec = RunSpec(
            name=name,
            workload=self._workload(ranks),
            ranks=ranks,
            nprocs=self.nprocs,
            logs_specs=DefaultLogsSpecs() if logs_specs is None else logs_specs,
            filters={std: _needles(needles) for std, needles in filters.items() if needles},
            death_sig=_signal("death_sig", death_sig),
            shutdown_timeout=_seconds("shutdown_timeout", shutdown_timeout),
            drain_timeout=_seconds("drain_timeout", drain_timeout),
            failure_grace=_seconds("failure_grace", failure_grace),
            numa_options=numa_options,
            health=plan_health(readiness, ready_timeout, watchdog, self.nprocs),
            strip_escapes=strip_escapes,
            containment=_mode(containment),
            sockets=shared_sockets(sockets, program=isinstance(entrypoint, str)),
        )
        self._run: Run | None = None
        self._stop_requested = False

    @abstractmethod
    def _workload(self, ranks: tuple[RankPlan, ...]) -> Workload:
        """What the ranks do."""

    async def start(self) -> Self:
        """Start every rank, or none: whatever goes wrong, and when cancelled, what was started is stopped first.

        Raises ``FileNotFoundError``, ``PermissionError`` or another ``OSError`` naming the rank that cannot start;
        ``InvalidRanksError`` when the logs specs lack a rank; ``ValueError`` when called again, as in torch.
        """
        if self._run is not None:
            raise ValueError(f"{self.name!r} was started already; make a new context for a new run")
        if self._stop_requested:
            raise NotRunningError(f"{self.name!r} was told to stop before it was started")
        self._run = run = Run(self._spec)
        finalizer = weakref.finalize(self, run.abandon)
        run.finished.add_done_callback(lambda _: finalizer.detach())  # its error may hold us by a traceback
        await self._wait_for(run, run.started, None)
        run.started.result()
        return self

    async def wait(self, timeout: float | None = None) -> RunProcsResult | None:
        """Wait until every rank has ended and its output is written; the result.

        ``timeout`` is in seconds: None or negative waits until then, 0 asks once. When it is over before the ranks
        are, the answer is None and they go on. Cancelling stops the ranks, and leaves when they are gone.

        Raises ``NotRunningError`` before ``start``.
        """
        run = self._started_run()
        endless = timeout is None or timeout < 0 or timeout > LONGEST_WAIT
        await self._wait_for(run, run.finished, None if endless else timeout)
        return run.finished.result() if run.finished.done() else None

    async def ready(self, timeout: float | None = None, rank: int | None = None) -> None:
        """Wait until every rank, or ``rank``, has become ready, as ``readiness`` says. It may have ended since.

        ``timeout`` is in seconds; None or negative waits as long as it takes. Neither its end nor cancelling stops a
        rank.

        Raises ``NotReadyError``, with its last lines, at once when a rank ends before it is ready; ``TimeoutError``,
        which says what is missing; ``NotRunningError`` before ``start``.
        """
        await self._started_run().monitor.wait(self._check_rank(rank), timeout)

    async def close(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """Stop every rank: ``death_sig``, at most ``timeout`` seconds of grace, then SIGKILL; None: as constructed.

        Returns when every process is gone (or was given up, see ``RunProcsResult.abandoned``). Can be called at any
        time, by several tasks, and again. Cancelling skips the rest of the grace.
        """
        sig, grace = stop_options(death_sig, timeout)
        if self._run is None:
            return
        self._run.stop(sig, grace)
        await self._wait_for(self._run, self._run.finished, None, stopping=True)
        await self._run.tidied()

    def request_stop(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """As ``close``, but without waiting for the end: for callbacks. Before ``start`` it makes that refuse."""
        sig, grace = stop_options(death_sig, timeout)
        if self._run is None:
            self._stop_requested = True
        else:
            self._run.stop(sig, grace)

    def send_signal(self, sig: int, rank: int | None = None) -> None:
        """Send ``sig`` to ``rank`` and what it has started, or to every rank. This is no request to stop."""
        self._started_run().send_signal(_signal("sig", sig), self._check_rank(rank))

    def pids(self) -> dict[int, int]:
        """The pid of every rank that was started."""
        return {rank: started.pid for rank, started in self._started_run().board.started.items()}

    @property
    def result(self) -> RunProcsResult | None:
        """The result, once there is one."""
        run = self._run
        over = run is not None and run.finished.done() and run.finished.exception() is None
        return run.finished.result() if run is not None and over else None

    @property
    def done(self) -> bool:
        """Whether everything is over: every rank, or a start that failed, which has no result."""
        return self._run is not None and self._run.finished.done()

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""
        return self._started_run().snapshot()

    def events(self) -> Subscription[Event]:
        """An async iterator over everything that has happened and will happen, until the run is finished."""
        return self._started_run().board.story.subscribe()

    def logs(
        self, rank: int | None = None, stream: Std = Std.ALL, capacity: int = _LINES_WAITING, max_delay: float = 0.0
    ) -> Subscription[LogLine]:
        """An async iterator over the captured lines, of one rank or of all, until the run is finished.

        It begins with what is still remembered (the last 16 KiB of each stream). A consumer that is more than
        ``capacity`` lines behind loses the oldest ones; the iterator's ``dropped`` counts them. A consumer
        that can have a line ``max_delay`` seconds late costs the loop less: from 0.1 s on, ranks that write little and
        often are read ten times a second, as they are when nobody looks on.

        Raises ``NotRunningError`` when no stream is captured, since there would never be a line.
        """
        streams = self._started_run().streams
        if not streams.captured:
            raise NotRunningError(
                "no stream is captured: give start_processes(logs_specs=DefaultLogsSpecs(redirects=Std.ALL)) or tee="
            )
        return streams.feed.subscribe(rank, stream, capacity, max_delay)

    @property
    def containment(self) -> Mode | None:
        """The containment that is in effect; None before the start."""
        return self._run.containment.mode if self._run else None

    @property
    def stdouts(self) -> dict[int, str]:
        """Log file of standard output by rank, ``""`` where it goes to the console. Empty before the start."""
        return dict(self._run.prepared.dest.stdouts) if self._run else {}

    @property
    def stderrs(self) -> dict[int, str]:
        """Log file of standard error by rank, ``""`` where it goes to the console. Empty before the start."""
        return dict(self._run.prepared.dest.stderrs) if self._run else {}

    @property
    def log_bytes(self) -> dict[str, int]:
        """Log file to the number of bytes that were written to it so far. Empty before the start."""
        return self._run.streams.written_bytes() if self._run else {}

    @property
    def lost_log_bytes(self) -> dict[str, int]:
        """Log file to the number of bytes that could not be written to it so far (a full disk)."""
        return self._run.streams.lost_bytes() if self._run else {}

    @property
    def error_files(self) -> dict[int, str]:
        """Error file by rank. Empty before the start."""
        return dict(self._run.prepared.dest.error_files) if self._run else {}

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _check_rank(self, rank: int | None) -> int | None:
        if rank is not None and not 0 <= rank < self.nprocs:
            raise InvalidArgumentError(f"rank: expected 0 to {self.nprocs - 1}, got {rank}")
        return rank

    def _started_run(self) -> Run:
        if self._run is None:
            raise NotRunningError(f"{self.name!r} was not started: await its start() or enter it with 'async with'")
        return self._run

    async def _wait_for(
        self, run: Run, future: asyncio.Future[Any], timeout: float | None, *, stopping: bool = False
    ) -> None:
        """Wait for ``future``; when cancelled, stop the run (``stopping``: kill it) and leave when it is over."""
        if run.loop is not asyncio.get_running_loop():
            raise NotRunningError(f"{self.name!r} was started in another loop; use it there")
        await wait_or_stop(run, future, timeout, stopping=stopping)


class SubprocessContext(PContext):
    """Ranks that run a program. ``entrypoint`` is its path, or its name on ``PATH``."""

    def __init__(
        self,
        name: str,
        entrypoint: str,
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]],
        logs_specs: LogsSpecs | None = None,
        log_line_prefixes: Mapping[int, str] | None = None,
        numa_options: NumaOptions | None = None,
        duplicate_stdout_filters: Sequence[str] | None = None,
        duplicate_stderr_filters: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            name,
            entrypoint,
            args,
            envs,
            logs_specs,
            log_line_prefixes,
            numa_options,
            duplicate_stdout_filters,
            duplicate_stderr_filters,
            **options,
        )

    def _workload(self, ranks: tuple[RankPlan, ...]) -> Workload:
        if not isinstance(self.entrypoint, str) or not self.entrypoint or "\0" in self.entrypoint:
            raise InvalidArgumentError(f"entrypoint: expected the path or name of a program, got {self.entrypoint!r}")
        return ProgramWorkload(self.entrypoint, {plan.rank: plan.args for plan in ranks})


class MultiprocessContext(PContext):
    """Ranks that run a Python function, plain or ``async def``; its values are in ``RunProcsResult.return_values``.

    Args:
        start_method: ``"spawn"``, a fresh interpreter for each rank; ``"fork"``, a copy of this process; or
            ``"forkserver"``, a copy of a process that has imported the modules in ``preload``.
    """

    def __init__(
        self,
        name: str,
        entrypoint: Callable[..., Any],
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]],
        start_method: StartMethod = "spawn",
        logs_specs: LogsSpecs | None = None,
        log_line_prefixes: Mapping[int, str] | None = None,
        numa_options: NumaOptions | None = None,
        duplicate_stdout_filters: Sequence[str] | None = None,
        duplicate_stderr_filters: Sequence[str] | None = None,
        *,
        preload: Sequence[str] = (),
        **options: Any,
    ) -> None:
        if is_importing_main():
            raise NotRunningError(
                "a rank that imports the main module must not start ranks itself; put the start of the application "
                "under: if __name__ == '__main__'"
            )
        self.start_method = start_method
        self._preload = preload
        super().__init__(
            name,
            entrypoint,
            args,
            envs,
            logs_specs,
            log_line_prefixes,
            numa_options,
            duplicate_stdout_filters,
            duplicate_stderr_filters,
            **options,
        )

    def _workload(self, ranks: tuple[RankPlan, ...]) -> Workload:
        # Not at the top: with cloudpickle and multiprocessing it takes 30 ms, which ranks of a program do without.
        from aelastic.conduct.functions import ForkserverWorkload, ForkWorkload, SpawnWorkload

        function, args = self.entrypoint, {plan.rank: plan.args for plan in ranks}
        if not callable(function):
            raise InvalidArgumentError(f"entrypoint: expected a function, got {function!r}")
        if self.start_method == "spawn":
            return SpawnWorkload(self.name, function, args)
        if self.start_method == "fork":
            return ForkWorkload(self.name, function, args)
        if self.start_method == "forkserver":
            return ForkserverWorkload(self.name, function, args, self._preload)
        raise InvalidArgumentError(f"start_method: expected spawn, fork or forkserver, got {self.start_method!r}")


_C = TypeVar("_C", bound=PContext)


class Starting(Generic[_C]):
    """A context about to start: ``await`` it, or enter it with ``async with``; both give the started context."""

    def __init__(self, context: _C) -> None:
        self._context = context

    def __await__(self) -> Generator[Any, None, _C]:
        return self._context.start().__await__()

    async def __aenter__(self) -> _C:
        return await self._context.start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._context.__aexit__(exc_type, exc, traceback)


def plans_of(starting: Starting[Any]) -> tuple[RankPlan, ...]:
    """What each rank of ``starting`` is to run."""
    context: PContext = starting._context
    return context._spec.ranks


def spec_of(starting: Starting[Any], ranks: tuple[RankPlan, ...], logs_specs: LogsSpecs, shared: Shared) -> RunSpec:
    """For a supervisor: the spec of a run of these ranks of ``starting``. A workload serves one run, so it is new."""
    context: PContext = starting._context
    workload = context._workload(ranks)
    return replace(context._spec, ranks=ranks, workload=workload, logs_specs=logs_specs, shared=shared)


def _needles(filters: Sequence[str]) -> tuple[str, ...]:
    if isinstance(filters, str):
        raise InvalidArgumentError(f"duplicate filters: expected a list of strings; for one write [{filters!r}]")
    return tuple(filters)


def stop_options(death_sig: int | None, timeout: float | None) -> tuple[int | None, float | None]:
    """What somebody wants a stop to be like. Raises ``InvalidArgumentError``."""
    return (
        None if death_sig is None else _signal("death_sig", death_sig),
        None if timeout is None else _seconds("timeout", timeout),
    )


def _mode(containment: Mode | None) -> Mode | None:
    if containment not in (None, *get_args(Mode)):
        raise InvalidArgumentError(f"containment: expected 'group', 'marker', 'cgroup' or None, got {containment!r}")
    return containment


def _signal(what: str, number: int) -> int:
    if not isinstance(number, int) or number not in signal.valid_signals():
        raise InvalidArgumentError(f"{what}: expected the number of a signal, got {number!r}")
    return number


def _seconds(what: str, value: float) -> float:
    if not value >= 0:
        raise InvalidArgumentError(f"{what}: expected seconds, 0 or more, got {value!r}")
    return min(float(value), LONGEST_WAIT)
