"""From the arguments of a supervisor to the spec of each attempt."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from aelastic.conduct.context import plans_of, spec_of
from aelastic.elastic.attempt_logs import RESTART_COUNT, LogsOfRank, LogsOfRanks, LogsOfRun
from aelastic.errors.base import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from aelastic.conduct.context import Starting
    from aelastic.conduct.prepare import RunSpec, Shared
    from aelastic.logs.specs import LogsSpecs

    Args: TypeAlias = Mapping[int, Sequence[Any]]
    Envs: TypeAlias = Mapping[int, Mapping[str, str]]

MAX_RESTARTS = "TORCHELASTIC_MAX_RESTARTS"


class Blueprint:
    """What ``units`` of ranks are to run: all of them together (``gang``), or each by itself.

    ``make`` checks the arguments and says what ``start_processes`` would run; it raises as that does.
    """

    def __init__(
        self,
        make: Callable[[Args, Envs], Starting[Any]],
        args: Args,
        envs: Envs,
        logs_specs: LogsSpecs,
        *,
        gang: bool,
        max_restarts: int | None,
    ) -> None:
        self._make = make
        self._starting = make(args, envs)
        self._args = dict(args)
        self._envs = dict(envs)
        self._logs = LogsOfRanks(logs_specs)
        self._gang = gang
        self._added = {} if max_restarts is None else {MAX_RESTARTS: str(max_restarts)}

    @property
    def nprocs(self) -> int:
        """How many ranks there are to be."""
        return len(plans_of(self._starting))

    @property
    def logs_specs(self) -> LogsSpecs:
        """Those of the supervisor's user."""
        return self._logs.specs

    def ranks_of(self, unit: int) -> tuple[int, ...]:
        """The ranks that ``unit`` consists of."""
        return tuple(range(self.nprocs)) if self._gang else (unit,)

    def unit_of(self, rank: int) -> int:
        """The unit that ``rank`` belongs to."""
        return 0 if self._gang else rank

    def spec(self, unit: int, number: int, shared: Shared, running: Collection[int] = ()) -> RunSpec:
        """What instance ``number`` of ``unit`` is to run, beside others of it that are ``running``."""
        plans = plans_of(self._starting)
        wanted = [plan for plan in plans if plan.rank in self.ranks_of(unit)]
        added = {**self._added, RESTART_COUNT: str(number)}
        ranks = tuple(replace(plan, env={**plan.env, **added}) for plan in wanted)
        siblings = {plan.rank: {**plan.env, **added} for plan in plans}
        logs = LogsOfRun(self.logs_specs) if self._gang else LogsOfRank(self._logs, siblings, running)
        return spec_of(self._starting, ranks, logs, shared)

    def scaled(self, count: int, args: Args, envs: Envs) -> Blueprint:
        """The same for ``count`` ranks. A new one whose arguments are not given is like the others.

        Raises ``InvalidArgumentError`` when the others differ among themselves, and what ``start_processes`` raises.
        """
        made = copy(self)
        made._args = _completed("args", {**self._args, **args}, count)
        made._envs = _completed("envs", {**self._envs, **envs}, count)
        ranks = range(count)
        made._starting = self._make(
            {rank: made._args[rank] for rank in ranks}, {rank: made._envs[rank] for rank in ranks}
        )
        return made


def _completed(what: str, known: Mapping[int, Any], count: int) -> dict[int, Any]:
    """``known`` for at least ``count`` ranks."""
    first, *others = known.values()
    missing = [rank for rank in range(count) if rank not in known]
    if missing and any(other != first for other in others):
        raise InvalidArgumentError(
            f"{what}: rank {missing[0]} is new, and the others differ; give scale({what}={{{missing[0]}: ...}})"
        )
    return {**known, **dict.fromkeys(missing, first)}
