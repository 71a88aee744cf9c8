"""Hears what ranks tell of themselves, probes those that do not, and tells the gang who hangs.

All of it happens in the turns of the loop, and nothing waits half-way; what concerns the gang is told to its owner.
"""

from __future__ import annotations

import asyncio
import math
import re
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aelastic.conduct.mailbox import LONGEST_WAIT
from aelastic.conduct.probing import LogWatch, Tries
from aelastic.decide.descriptors import Need
from aelastic.decide.notices import parse_notice
from aelastic.decide.readiness import Health, Phase, Ready
from aelastic.errors.base import InvalidArgumentError, NotRunningError
from aelastic.errors.failure import describe_exit
from aelastic.errors.not_ready import NotReadyError
from aelastic.events import RankHung, RankProgress, RankReady, RankStatus
from aelastic.process.launch import launch_need
from aelastic.process.notify import NotifySockets
from aelastic.process.probes import check_library
from aelastic.readiness import ExecProbe, HttpProbe, LogProbe, Notify, TcpProbe
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aelastic.conduct.board import Board
    from aelastic.conduct.prepare import RunSpec
    from aelastic.conduct.probing import Probing
    from aelastic.conduct.workload import Tools
    from aelastic.decide.gang import Action as GangAction
    from aelastic.decide.gang import Gang
    from aelastic.decide.notices import Notice
    from aelastic.decide.plan import StreamPlan
    from aelastic.decide.readiness import Action
    from aelastic.logs.streams import Streams
    from aelastic.process.notify import NotifySocket
    from aelastic.process.watch import Process

_DUMP_PAUSE = 1.0  # seconds for a hanging rank to print its stacks, before it is told to end
_LAST_WORDS = 0.5  # seconds that the last lines of a rank may come after it
_LAST_LINES = 10
_LINES_WAITING = 10_000
_RANKS_TOLD = 5
_PER_TRY = 2  # descriptors: a connection, and what is read in /proc
_DUMPS = 16  # processes of a rank that may offer their stacks
_AT_ONCE = 64  # datagrams of a rank in one turn; then others get theirs
_AT_LAST = 1024  # before something is said about the rank for good; a queue holds some hundreds


@dataclass(frozen=True, slots=True)
class Links:
    """What of its run the monitor works with. ``tell`` puts a fact into the mailbox of the run's owner."""

    board: Board
    streams: Streams
    gang: Gang
    tools: Tools
    tell: Callable[[Callable[[], list[GangAction]]], None]


@dataclass(frozen=True, slots=True)
class _Waiter:
    ranks: Sequence[int]
    future: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Lost:
    """How a rank ended, or did not begin, that was never ready."""

    reason: str
    exitcode: int | None = None
    last_lines: str = ""


class Monitor:
    """The health of the ranks of one run. Where the plan expects nothing, it costs nothing."""

    def __init__(self, spec: RunSpec, links: Links) -> None:
        self._name = spec.name
        self._plan = spec.health
        self._ranks = tuple(plan.rank for plan in spec.ranks)
        self._links = links
        self._health = Health(spec.health, self._ranks)
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, NotifySocket] = {}
        self._close_sockets: Callable[[], None] = _nothing
        self._processes: dict[int, Process] = {}
        self._dumps: dict[int, dict[int, int]] = {}
        self._probings: dict[int, Probing] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ends: list[asyncio.Task[None]] = []
        self._hung: dict[int, str] = {}
        self._lost: dict[int, _Lost] = {}
        self._waiters: list[_Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    # What others ask

    def is_ready(self, rank: int) -> bool:
        """Whether ``rank`` is ready now."""
        return self._health.phase(rank) is Phase.READY

    def was_ready(self, rank: int) -> bool:
        """Whether ``rank`` has become ready, whatever became of it since."""
        return self._health.was_ready(rank)

    def loss(self, rank: int) -> NotReadyError | None:
        """Why ``rank`` will not become ready any more, if that is so."""
        if self._health.was_ready(rank) or rank not in self._lost:
            return None
        one = self._lost[rank]
        return NotReadyError(self._name, rank, one.reason, one.exitcode, one.last_lines)

    def problem(self, rank: int) -> str:
        """Why ``rank`` is not ready yet."""
        if self._health.phase(rank) is Phase.PENDING:
            return "it is not started yet"
        return self._probings[rank].problem if rank in self._probings else "it has not said READY=1"

    async def wait(self, rank: int | None, timeout: float | None) -> None:
        """Wait until ``rank`` (None: every rank) has become ready; see ``PContext.ready``."""
        if self._loop is not asyncio.get_running_loop():
            raise NotRunningError(f"{self._name!r} was started in another loop; use it there")
        waiter = _Waiter(self._ranks if rank is None else (rank,), self._loop.create_future())
        self._waiters.append(waiter)
        self._settle()
        seconds = None if timeout is None or timeout < 0 else min(timeout, LONGEST_WAIT)
        try:
            await asyncio.wait({waiter.future}, timeout=seconds)
        finally:
            self._waiters = [one for one in self._waiters if one is not waiter]
            if waiter.future.done():
                waiter.future.exception()  # known, even to somebody who is being cancelled
        if not waiter.future.done():
            raise TimeoutError(self._describe_delay(waiter.ranks, seconds))
        waiter.future.result()

    # Before the first rank

    def open(self, plans: Iterable[StreamPlan]) -> dict[int, dict[str, str]]:
        """Open what is needed; what it adds to the environment of each rank. For a thread.

        Raises ``OSError``, and ``InvalidArgumentError`` for a probe that cannot work.
        """
        captured = {(plan.rank, plan.stream) for plan in plans if plan.captured}
        expected = {rank: word for rank, word in self._plan.readiness.items() if rank in self._ranks}
        for rank, readiness in expected.items():
            check_library(readiness)
            if isinstance(readiness, LogProbe) and not any((rank, std) in captured for std in readiness.stream):
                raise InvalidArgumentError(
                    f"readiness[{rank}]: the stream is not captured, so there will never be a line: "
                    "give logs_specs=DefaultLogsSpecs(redirects=Std.ALL), or tee="
                )
        heard = [rank for rank in self._ranks if self._plan.is_heard(rank)]
        if not heard:
            return {}
        try:
            sockets = NotifySockets(heard)
        except OSError as error:
            raise OSError(error.errno, f"no notify sockets for the ranks: {error.strerror}", error.filename) from error
        self._sockets, self._close_sockets = sockets.by_rank, sockets.close
        seconds = self._plan.watchdog
        watchdog = {} if seconds is None else {"WATCHDOG_USEC": str(max(1, round(seconds * 1e6)))}
        return {rank: {"NOTIFY_SOCKET": socket.path, **watchdog} for rank, socket in self._sockets.items()}

    def descriptors(self, rank: int) -> Need:
        """What this process opens for probing ``rank``, from now on."""
        word = self._plan.readiness.get(rank)
        if isinstance(word, ExecProbe):
            return launch_need()
        return Need(_PER_TRY, _PER_TRY) if isinstance(word, TcpProbe | HttpProbe) else Need(0, 0)

    # While they run

    def began(self, rank: int, process: Process, env: Mapping[str, str]) -> None:
        """The process of ``rank`` exists; ``env`` is its environment."""
        self._processes[rank] = process
        self._health.started(rank, time.monotonic())
        if rank in self._sockets:
            self._loop.add_reader(self._sockets[rank].descriptor, self._listen, rank, _AT_ONCE)
        self._probe(rank, env)
        self._settle()
        self._arm(self._health.due_at(rank))

    def ended(self, rank: int, exitcode: int, drained: asyncio.Future[None]) -> None:
        """The process of ``rank`` is gone; when ``drained`` is done, its last line is known."""
        self._listen(rank, _AT_LAST)  # what it has said before
        self._deafen(rank)
        self._health.ended(rank)
        if isinstance(probing := self._probings.get(rank), Tries):
            probing.stop()  # whoever answers now is not the rank
        if not self._health.was_ready(rank):
            self._ends.append(self._links.tools.spawn(self._lose(rank, exitcode, drained)))

    async def close(self) -> None:
        """The run is over: wait for what is under way, and close everything."""
        for probing in self._probings.values():
            probing.stop()
        if tasks := {*self._tasks.values(), *self._ends}:
            await asyncio.wait(tasks)
        if self._sockets:  # else there may never have been a thread to be had
            await self._loop.run_in_executor(self._links.tools.executor, self._close_sockets)
        self.give_up()

    def give_up(self) -> None:
        """Nobody becomes ready any more. Can be called again, and when the loop is closed."""
        if not self._loop.is_closed():
            self._end()
        self._close_sockets()

    def _end(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        for rank in self._ranks:
            self._deafen(rank)
            self._health.ended(rank)
            self._lost.setdefault(rank, _Lost("was not ready when its run ended"))
        self._settle()

    def _probe(self, rank: int, env: Mapping[str, str]) -> None:
        word, on_ready = self._plan.readiness.get(rank, Notify()), partial(self._probed, rank)
        if isinstance(word, Notify):
            return
        if isinstance(word, LogProbe):
            lines = self._links.streams.feed.subscribe(rank, word.stream, _LINES_WAITING)
            self._probings[rank] = LogWatch(re.compile(word.pattern), lines, on_ready)
        else:
            self._probings[rank] = Tries(word, self._processes[rank].pid, env, self._links.tools, on_ready)
        self._tasks[rank] = self._links.tools.spawn(self._probings[rank].run())

    def _probed(self, rank: int) -> None:
        self._perform(self._health.probed(rank, time.monotonic()))
        self._arm(self._health.due_at(rank))

    def _listen(self, rank: int, most: int) -> None:
        if rank in self._sockets:
            notices = [parse_notice(datagram) for datagram in self._sockets[rank].receive(most)]
            self._tell(rank, notices)
            for notice in notices:
                self._perform(self._health.heard(rank, notice, time.monotonic()))
            self._arm(self._health.due_at(rank))

    def _tell(self, rank: int, notices: Sequence[Notice]) -> None:
        """Of what was said in one go, the last counts."""
        board, now = self._links.board, time.time()
        for dump in (notice.dump for notice in notices if notice.dump is not None):
            known = self._dumps.setdefault(rank, {})
            if dump.pid in known or len(known) < _DUMPS:
                known[dump.pid] = dump.signal
        if statuses := [notice.status for notice in notices if notice.status is not None]:
            board.add_status(RankStatus(rank, statuses[-1], now))
        if progress := [notice.progress for notice in notices if notice.progress is not None]:
            board.add_progress(RankProgress(rank, *progress[-1], now))

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Ready):
                self._links.board.story.publish(RankReady(action.rank, time.time()))
            elif not self._links.gang.stopping:  # who is told to end need not say anything any more
                self._hang(action.rank, action.reason)
        if actions:
            self._settle()

    def _hang(self, rank: int, reason: str) -> None:
        self._hung[rank] = reason
        self._links.board.story.publish(RankHung(rank, reason, time.time()))
        self._ask_for_stacks(rank)
        self._links.tell(partial(self._links.gang.hung, rank, reason, time.monotonic(), _DUMP_PAUSE))

    def _ask_for_stacks(self, rank: int) -> None:
        """By the signal that the rank has named, else by SIGABRT, as systemd does: that ends it, with a core file."""
        family = self._processes[rank].family
        asked = [family.signal_member(pid, number) for pid, number in self._dumps.get(rank, {}).items()]
        if not any(asked):
            family.signal(signal.SIGABRT)

    def _deafen(self, rank: int) -> None:
        if rank in self._sockets and self._sockets[rank].descriptor >= 0:
            self._loop.remove_reader(self._sockets[rank].descriptor)
            self._sockets[rank].close()

    async def _lose(self, rank: int, exitcode: int, drained: asyncio.Future[None]) -> None:
        await asyncio.wait({drained}, timeout=_LAST_WORDS)
        if rank in self._probings:
            self._probings[rank].stop()
            await asyncio.wait({self._tasks[rank]})  # it may find the line that it looks for among the last
        lines = (self._links.streams.last_lines(rank, std, _LAST_LINES) for std in (Std.OUT, Std.ERR))
        reason = self._hung.get(rank) or f"{describe_exit(exitcode)} before it was ready"
        self._lost[rank] = _Lost(reason, exitcode, "\n".join(filter(None, lines)))
        self._settle()

    # Time

    def _arm(self, due: float | None) -> None:
        """Look again when somebody might hang. A heartbeat puts that off without touching the alarm."""
        if due is None or due >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        delay = min(max(0.0, due - time.monotonic()), LONGEST_WAIT)
        self._alarm = self._loop.call_later(delay, self._look)

    def _look(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        for rank in self._health.due(time.monotonic()):
            self._listen(rank, _AT_LAST)  # it may have spoken while we were busy
        self._perform(self._health.deadline(time.monotonic()))
        self._arm(self._health.next_deadline)

    # Who waits

    def _settle(self) -> None:
        """Tell those who wait what can be told by now."""
        for waiter in self._waiters:
            missing = [rank for rank in waiter.ranks if not self._health.was_ready(rank)]
            loss = next((loss for rank in missing if (loss := self.loss(rank)) is not None), None)
            if waiter.future.done() or (missing and loss is None):
                continue
            if loss is None:
                waiter.future.set_result(None)
            else:
                waiter.future.set_exception(loss)

    def _describe_delay(self, ranks: Sequence[int], timeout: float | None) -> str:
        late = {rank: self.problem(rank) for rank in ranks if not self._health.was_ready(rank)}
        return describe_delay(self._name, timeout or 0.0, late)


def describe_delay(name: str, timeout: float, problems: Mapping[int, str]) -> str:
    """That these ranks were not ready within ``timeout`` seconds, and why the first of them were not."""
    told = [f"rank {rank}: {problem}" for rank, problem in problems.items()]
    more = f"; and {len(told) - _RANKS_TOLD} others" if len(told) > _RANKS_TOLD else ""
    return f"{name!r}: not ready within {timeout:g} s: {'; '.join(told[:_RANKS_TOLD])}{more}"


def _nothing() -> None:
    """Nothing was opened."""
