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
from aelastic.readiness import Notify
from aelastic.worker.script import run_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.cli.environment import Contract
    from aelastic.cli.settings import Settings
    from aelastic.cli.views import Ranks, View
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
        if first is None or first.exitcode == 0:  # without its value, for example
            return int(self.failed)
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode

    @property
    def failed(self) -> bool:
        """Whether any rank has failed or was stopped."""
        return self.result is None or self.result.is_failed()


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
        ranks, result = self.ranks(), None
        with handle_signals(
            ranks,
            self.settings.signals_to_handle,
            forward=self.settings.signals_to_forward,
            at_the_third=lambda number: _leave_at_once(ranks, number),
        ) as received:
            try:
                with self.view:
                    result = await self._run(ranks)
            except NotRunningError:
                if received.signal is None:
                    raise
        return Ending(result, received.signal, time.monotonic() - begin)

    async def _run(self, ranks: Ranks) -> RunProcsResult | None:
        async with ranks:
            follower = asyncio.create_task(self.view.follow(ranks))
            result = await ranks.wait()
            await follower
        return result

    def ranks(self) -> Ranks:
        """The ranks, about to be started."""
        settings = self.settings
        program, args = settings.program, settings.args
        if settings.run_path:
            return self._ranks_of(run_script, (program, *args))
        if not settings.no_python:
            program, args = os.environ.get("PYTHON_EXEC", sys.executable), (*_FLAGS[settings.module], program, *args)
        return self._ranks_of(program, args)

    def _ranks_of(self, entrypoint: str | Callable[..., None], arguments: tuple[str, ...]) -> Ranks:
        settings, options = self.settings, self._options()
        args, envs = self.contract.args(arguments), self.contract.envs()
        if settings.max_restarts:
            from aelastic.decide.restarts import RestartPolicy  # with what it needs, tens of ms that few need
            from aelastic.elastic.supervisor import Supervisor

            policy = RestartPolicy(max_restarts=settings.max_restarts)
            options["start_method"] = settings.start_method
            return Supervisor(settings.role, entrypoint, args, envs, self.logs_specs, restart=policy, **options)
        if isinstance(entrypoint, str):
            return SubprocessContext(settings.role, entrypoint, args, envs, self.logs_specs, **options)
        method = settings.start_method
        return MultiprocessContext(settings.role, entrypoint, args, envs, method, self.logs_specs, **options)

    def _options(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "log_line_prefixes": self.contract.prefixes(),
            "numa_options": NumaOptions(AffinityMode(settings.numa_binding)) if settings.numa_binding else None,
            "duplicate_stdout_filters": settings.duplicate_stdout_filters,
            "duplicate_stderr_filters": settings.duplicate_stderr_filters,
            "shutdown_timeout": settings.shutdown_timeout,
            "readiness": Notify(),  # so that a rank can tell what it does
        }


def _leave_at_once(ranks: Ranks, number: int) -> None:
    """Somebody has lost patience: kill the ranks without looking after them, and end by this signal."""
    with suppress(NotRunningError):
        ranks.send_signal(signal.SIGKILL)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
