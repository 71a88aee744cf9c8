"""Where the output of one attempt goes: what a ``LogsSpecs`` made for a whole run says of it."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from aelastic.logs.specs import DefaultLogsSpecs, LogsDest, LogsSpecs, release

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RESTART_COUNT = "TORCHELASTIC_RESTART_COUNT"


class LogsOfRun(LogsSpecs):
    """``specs`` as it is, for each attempt of all ranks. It is released when the supervisor is, not before."""

    def __init__(self, specs: LogsSpecs) -> None:
        super().__init__()
        self._specs = specs
        self.private = bool(getattr(specs, "private", True))  # one written for torch has no opinion

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

    def ask(
        self, rank: int, env: dict[str, str], siblings: Mapping[int, Mapping[str, str]], running: Collection[int]
    ) -> LogsDest:
        """The destinations of ``rank`` among ``siblings``, all of which have their environment there.

        ``running``: other attempts of it that are not over.
        """
        with self._asking:
            if isinstance(self.specs, DefaultLogsSpecs) and type(self.specs).reify is DefaultLogsSpecs.reify:
                return self.specs.reify_rank(rank, env, running)
            number, own_number = str(next(self._numbers)), env[RESTART_COUNT]
            everybody = {one: {**its_env, RESTART_COUNT: number} for one, its_env in siblings.items()}
            everybody[rank] = env
            env[RESTART_COUNT] = number
            dest = self.specs.reify(everybody)
            env[RESTART_COUNT] = own_number
            return _of_rank(rank, dest)


class LogsOfRank(LogsOfRun):
    """One attempt of one rank."""

    def __init__(
        self, logs: LogsOfRanks, siblings: Mapping[int, Mapping[str, str]], running: Collection[int] = ()
    ) -> None:
        super().__init__(logs.specs)
        self._running = running
        self._logs = logs
        self._siblings = siblings

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """``envs`` holds one rank."""
        ((rank, env),) = envs.items()
        return self._logs.ask(rank, env, self._siblings, self._running)


def _of_rank(rank: int, dest: LogsDest) -> LogsDest:
    """What concerns ``rank``. A table that lacks it lacks it here too, which the run will complain about."""
    tables = ("stdouts", "stderrs", "tee_stdouts", "tee_stderrs", "error_files")
    parts = {name: {one: path for one, path in getattr(dest, name).items() if one == rank} for name in tables}
    return LogsDest(**parts, filtered_stdout=dest.filtered_stdout, filtered_stderr=dest.filtered_stderr)


def release_wholly(specs: LogsSpecs) -> None:
    """Release ``specs``, and do what that leaves to be done."""
    if (rest := release(specs)) is not None:
        rest()
