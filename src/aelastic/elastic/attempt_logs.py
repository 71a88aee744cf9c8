"""Where the output of one attempt goes: what a ``LogsSpecs`` made for a whole run says of it."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from aelastic.logs.specs import DefaultLogsSpecs, LogsSpecs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aelastic.logs.specs import LogsDest

RESTART_COUNT = "TORCHELASTIC_RESTART_COUNT"


class LogsOfRun(LogsSpecs):
    """``specs`` as it is, for each attempt of all ranks. It is released when the supervisor is, not before."""

    def __init__(self, specs: LogsSpecs) -> None:
        super().__init__()
        self._specs = specs

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """What ``specs`` says."""
        return self._specs.reify(envs)

    @property
    def root_log_dir(self) -> str:
        """What ``specs`` says."""
        return self._specs.root_log_dir


class LogsOfRanks:
    """``specs`` for ranks that are started one by one, by several threads.

    ``DefaultLogsSpecs`` knows single ranks. Any other is asked about all of them, each time under a new number of the
    attempt, since torch's, for one, empties the directory of an attempt first, whoever is in it.
    """

    def __init__(self, specs: LogsSpecs) -> None:
        self.specs = specs
        self._asking = threading.Lock()
        self._numbers = itertools.count()

    def ask(self, rank: int, env: dict[str, str], siblings: Mapping[int, Mapping[str, str]]) -> LogsDest:
        """The destinations of ``rank`` among ``siblings``, all of which have their environment there."""
        with self._asking:
            if isinstance(self.specs, DefaultLogsSpecs) and type(self.specs).reify is DefaultLogsSpecs.reify:
                return self.specs.reify_rank(rank, env)
            number, own_number = str(next(self._numbers)), env[RESTART_COUNT]
            everybody = {one: {**its_env, RESTART_COUNT: number} for one, its_env in siblings.items()}
            everybody[rank] = env
            env[RESTART_COUNT] = number
            dest = self.specs.reify(everybody)
            env[RESTART_COUNT] = own_number
            return dest


class LogsOfRank(LogsOfRun):
    """One attempt of one rank."""

    def __init__(self, logs: LogsOfRanks, siblings: Mapping[int, Mapping[str, str]]) -> None:
        super().__init__(logs.specs)
        self._logs = logs
        self._siblings = siblings

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """``envs`` holds one rank."""
        ((rank, env),) = envs.items()
        return self._logs.ask(rank, env, self._siblings)
