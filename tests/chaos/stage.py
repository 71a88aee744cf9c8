"""One gang on stage: its context, and what is noted about it for the judge."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aelastic
from tests.chaos import rank as script
from tests.chaos.cell import can_have_control_groups
from tests.chaos.deeds import Deeds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aelastic import Event, LogLine, PContext, RankSnapshot, RunProcsResult
    from aelastic.conduct.containment import Mode
    from tests.chaos.plan import GangPlan, Spectator

MARK = "AELASTIC_CHAOS_MARK"


@dataclass(slots=True)
class Seen:
    """What one spectator has seen. ``whole``: it stayed to the end and lost nothing."""

    what: str
    items: list[Event | LogLine] = field(default_factory=list)
    whole: bool = False


@dataclass(slots=True)
class Sent:
    """A signal that the application has sent, to ``rank`` or to all."""

    signal: int
    rank: int | None
    at: float


class Stage:
    """The gang of ``plan`` with everything of its own in a directory below ``scene``."""

    def __init__(self, plan: GangPlan, scene: Path) -> None:
        self.plan = plan
        self.directory = scene / plan.name
        self.directory.mkdir()
        self.deeds = str(self.directory / "deeds")
        self.mark = f"{plan.name}{os.getpid()}-{time.monotonic_ns()}"
        self.stop_at: float | None = None  # when the application asked for an end, by the monotonic clock
        self.over_at = 0.0
        self.stop_signals: set[int] = set()
        self.sent: list[Sent] = []
        self.seen: list[Seen] = []
        self.complaints: list[str] = []
        self.started = False
        self.start_error: BaseException | None = None
        self.result: RunProcsResult | None = None
        self.states: dict[int, RankSnapshot] = {}
        self.pids: dict[int, int] = {}
        strongest: Mode = "cgroup" if can_have_control_groups() else "marker"
        self.containment = strongest if plan.containment in (None, "cgroup") else plan.containment
        self.outlived: set[tuple[int, int]] = set()  # rank and pid of who was detached and is still there
        self._spectators: list[asyncio.Task[None]] = []
        Path(self.deeds).touch()
        self.ctx: PContext = self._context()

    @contextlib.asynccontextmanager
    async def entered(self) -> AsyncIterator[PContext]:
        """The context, started; leaving stops what still runs."""
        async with self.ctx:
            self.note_start()
            try:
                yield self.ctx
            finally:
                if self.ctx.result is None:
                    self.note_stop()

    def note_start(self) -> None:
        """The ranks are there: let the spectators in."""
        self.started = True
        self.pids = self.ctx.pids()
        if self.ctx.containment != self.containment:
            self.complaints.append(f"the containment is {self.ctx.containment}, expected {self.containment}")
        for spectator in self.plan.spectators:
            self._admit(spectator)

    def note_stop(self, *signals: int) -> None:
        """From now on the application wants an end; ``signals`` are those that it asks with, if not the plan's."""
        if self.stop_at is None:
            self.stop_at = time.monotonic()
        self.stop_signals |= {int(self.plan.options["death_sig"]), signal.SIGKILL, *signals}

    def send(self, sig: int, rank: int | None) -> None:
        """Signal ranks."""
        self.sent.append(Sent(sig, rank, time.monotonic()))
        self.ctx.send_signal(sig, rank)

    async def conclude(self) -> None:
        """Everything is over: keep what the judge wants to know, and let go of the context."""
        self.over_at = time.monotonic()
        for task in self._spectators:
            await task
        if "ctx" in vars(self):
            self.result = self.ctx.result
            if self.result is not None:
                self.states = self.ctx.snapshot()
                if await self.ctx.wait(0) is not self.result:
                    self.complaints.append("a second wait gives another result")
            del self.ctx

    @property
    def may_lose(self) -> bool:
        """Whether what leaves its group may get lost: it shows no mark after a mere fork."""
        forked = self.plan.home in ("fork", "forkserver")
        return self.containment == "group" or (self.containment == "marker" and forked)

    def tolerated(self) -> set[int]:
        """Pids of those who may be there when the gang is over."""
        kinds = ("detached", "escaped") if self.may_lose else ("detached",)
        return {pid for _, pid in Deeds.read(self.deeds).alive(*kinds)}

    def _context(self) -> PContext:
        plan, ranks = self.plan, range(len(self.plan.ranks))
        options: dict[str, Any] = {
            "envs": {rank: {MARK: self.mark} for rank in ranks},
            "logs_specs": self._logs_specs(),
            "duplicate_stdout_filters": ["KEEP"] if plan.logs.filtered else None,
            "duplicate_stderr_filters": ["KEEP"] if plan.logs.filtered else None,
            "containment": None if plan.containment is None else self.containment,
            **plan.options,
        }
        specs: dict[int, Any] = {rank: plan.spec(rank, self.deeds) for rank in ranks}
        if plan.home == "program":
            program = "/no/such/program" if plan.broken == "program" else sys.executable
            arguments = {rank: script.command(spec) for rank, spec in specs.items()}
            return aelastic.SubprocessContext(plan.name, program, arguments, **options)
        function = script.live_async if plan.asynchronous else script.live
        values = {rank: (script.Unpicklable() if plan.broken == "argument" else spec,) for rank, spec in specs.items()}
        return aelastic.MultiprocessContext(plan.name, function, values, start_method=plan.home, **options)

    def _logs_specs(self) -> aelastic.LogsSpecs:
        logs = self.plan.logs
        if self.plan.broken == "logs":
            return BrokenSpecs()
        directory = {"own": str(self.directory / "logs"), "temporary": None, "none": os.devnull}[logs.directory]
        return aelastic.DefaultLogsSpecs(directory, redirects=logs.redirects, tee=logs.tee)

    def _admit(self, spectator: Spectator) -> None:
        any_logs = any(self.plan.logs.captured(rank) for rank in range(len(self.plan.ranks)))
        if spectator.what == "logs" and not any_logs:
            return
        source = self.ctx.logs(capacity=1_000_000) if spectator.what == "logs" else self.ctx.events()
        seen = Seen(spectator.what)
        self.seen.append(seen)
        self._spectators.append(asyncio.create_task(_watch(source, spectator.items, seen)))


class BrokenSpecs(aelastic.LogsSpecs):
    """A user's own, with a fault."""

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        """Fail."""
        raise ZeroDivisionError("chaos")

    @property
    def root_log_dir(self) -> str:
        """None in particular."""
        return ""


async def _watch(source: aelastic.Subscription[Any], items: int, seen: Seen) -> None:
    async for item in source:
        seen.items.append(item)
        if len(seen.items) == items:
            return
    seen.whole = source.dropped == 0
