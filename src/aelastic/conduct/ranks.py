"""The processes of a gang, and performing on them what it decides: also where no loop runs any more."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

from aelastic.decide.gang import Signal
from aelastic.decide.ladder import Step
from aelastic.process.blocking import wait_for_ends

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.decide.gang import Action, Gang
    from aelastic.process.watch import Process

logger = logging.getLogger("aelastic")


class Ranks:
    """``processes`` by rank, as they are launched."""

    def __init__(self, gang: Gang) -> None:
        self.processes: dict[int, Process] = {}
        self._gang = gang

    def perform(self, actions: list[Action]) -> None:
        """Send the signals that are among ``actions``."""
        for action in actions:
            if isinstance(action, Signal):
                logger.debug("signal %d to rank %d", action.signal, action.rank)
                self.processes[action.rank].family.ask_to_end(action.signal)

    def kill_the_rest(self) -> None:
        """Where no time is left for the ladder."""
        for rank in self._alive():
            self.processes[rank].family.signal(signal.SIGKILL)

    def stop_blocking(self, clock: Callable[[], float]) -> None:
        """Walk the ladder where no loop runs any more. A Ctrl-C ends it by SIGKILL."""
        try:
            self.perform(self._gang.stop_asked(clock()))
            while alive := self._alive():
                self._wait(alive, clock)
        finally:
            self.kill_the_rest()

    def _wait(self, alive: list[int], clock: Callable[[], float]) -> None:
        due = self._gang.next_deadline
        timeout = max(0.0, (due or 0.0) - clock())
        ends = wait_for_ends({rank: self.processes[rank].pid for rank in alive}, timeout)
        for rank, exitcode in ends.items():
            self.processes[rank].family.sweep()
            self.perform(self._gang.exited(rank, exitcode, clock()))
        self.perform(self._gang.deadline(clock()))

    def _alive(self) -> list[int]:
        over = (Step.GONE, Step.ABANDONED)
        return [rank for rank in self.processes if self._gang.step(rank) not in over]
