"""One ``aelastic run``: its ranks, the signals to it, and what it ends with."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aelastic.conduct.context import MultiprocessContext, SubprocessContext
from aelastic.conduct.signals import handle_signals
from aelastic.errors import NotRunningError
from aelastic.numa import AffinityMode, NumaOptions
from aelastic.worker.script import run_script

if TYPE_CHECKING:
    from aelastic.cli.environment import Contract
    from aelastic.cli.settings import Settings
    from aelastic.cli.views import View
    from aelastic.conduct.context import PContext
    from aelastic.logs.specs import LogsSpecs
    from aelastic.results import RunProcsResult

_FLAGS = {False: ("-u",), True: ("-u", "-m")}  # by --module


@dataclass(frozen=True, slots=True)
class Ending:
    """What a run ended with. ``result`` is None when a ``received`` signal came before all ranks were started."""

    result: RunProcsResult | None
    received: signal.Signals | None
    seconds: float

    @property
    def exit_status(self) -> int:
        """0, that of the first rank that failed, or 128 + the number of the signal that ended it, or us."""
        if self.received is not None:
            return 128 + self.received
        first = self.result.first_failure if self.result else None
        if first is None:
            return 0
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run, and how it is shown."""

    settings: Settings
    contract: Contract
    logs_specs: LogsSpecs
    view: View

    async def run(self) -> Ending:
        """Run the ranks to their end. Raises ``OSError`` and ``AelasticError`` when they cannot be started."""
        begin = time.monotonic()
        ctx, result = self.context(), None
        with handle_signals(
            ctx,
            self.settings.signals_to_handle,
            forward=self.settings.signals_to_forward,
            at_the_third=lambda number: _leave_at_once(ctx, number),
        ) as received:
            try:
                with self.view:
                    result = await self._run(ctx)
            except NotRunningError:
                if received.signal is None:
                    raise
        return Ending(result, received.signal, time.monotonic() - begin)

    async def _run(self, ctx: PContext) -> RunProcsResult | None:
        async with ctx:
            follower = asyncio.create_task(self.view.follow(ctx))
            result = await ctx.wait()
            await follower
        return result

    def context(self) -> PContext:
        """The ranks, about to be started."""
        settings = self.settings
        program, args = settings.program, settings.args
        options = self._options()
        if settings.run_path:
            ranks = self.contract.args((program, *args))
            return MultiprocessContext(settings.role, run_script, ranks, start_method=settings.start_method, **options)
        if not settings.no_python:
            program, args = os.environ.get("PYTHON_EXEC", sys.executable), (*_FLAGS[settings.module], program, *args)
        return SubprocessContext(settings.role, program, self.contract.args(args), **options)

    def _options(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "envs": self.contract.envs(),
            "logs_specs": self.logs_specs,
            "log_line_prefixes": self.contract.prefixes(),
            "numa_options": NumaOptions(AffinityMode(settings.numa_binding)) if settings.numa_binding else None,
            "duplicate_stdout_filters": settings.duplicate_stdout_filters,
            "duplicate_stderr_filters": settings.duplicate_stderr_filters,
            "shutdown_timeout": settings.shutdown_timeout,
        }


def _leave_at_once(ctx: PContext, number: int) -> None:
    """Somebody has lost patience: kill the ranks without looking after them, and end by this signal."""
    with suppress(NotRunningError):
        ctx.send_signal(signal.SIGKILL)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
