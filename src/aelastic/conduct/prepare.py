"""Everything of a run that can go wrong before its first process exists."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from aelastic.decide.plan import check_env, plan_streams
from aelastic.errors.base import InvalidRanksError
from aelastic.logs.specs import LogsDest, LogsSpecs
from aelastic.process.marker import DETACH, MARKER
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aelastic.conduct.containment import Containment, Mode
    from aelastic.conduct.workload import Workload
    from aelastic.decide.plan import Destinations, RankPlan, StreamPlan
    from aelastic.logs.consoles import Consoles
    from aelastic.logs.streams import Streams
    from aelastic.numa import NumaOptions

_T = TypeVar("_T")

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


@dataclass(frozen=True, slots=True)
class Shared:
    """What runs that are there at the same time have in common. Its owner closes it."""

    executor: ThreadPoolExecutor
    consoles: Consoles


def file_threads() -> ThreadPoolExecutor:
    """The threads that write files, few and of our own: a slow disk must not use up the application's."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="aelastic-files")


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What is to be run, and how. Times are in seconds; ``filters`` maps a stream to the strings to look for.

    ``ranks`` may be some of ``nprocs`` that other runs have the rest of. ``shared`` None: the run has its own.
    """

    name: str
    workload: Workload
    ranks: tuple[RankPlan, ...]
    nprocs: int
    logs_specs: LogsSpecs
    filters: Mapping[Std, tuple[str, ...]]
    death_sig: int
    shutdown_timeout: float
    drain_timeout: float
    failure_grace: float
    numa_options: NumaOptions | None = None
    shared: Shared | None = None
    containment: Mode | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where the logs go, the whole environment of each rank, and its cpus if it is bound."""

    dest: Destinations = field(default_factory=LogsDest)
    envs: dict[int, dict[str, str]] = field(default_factory=dict)
    cpus: dict[int, frozenset[int]] = field(default_factory=dict)


class OffLoop(Protocol):
    """Calls a function in a thread."""

    def __call__(self, function: Callable[[], _T], /) -> Awaitable[_T]:
        """The answer of ``function``."""


async def prepare(spec: RunSpec, streams: Streams, containment: Containment, off_loop: OffLoop) -> Prepared:
    """Ask the logs specs, check the ranks, and open ``streams``.

    Raises ``InvalidRanksError``, ``InvalidArgumentError``, ``OSError``, and whatever the logs specs raise.
    """
    ranks = [plan.rank for plan in spec.ranks]
    added = {plan.rank: dict(plan.env) for plan in spec.ranks}
    dest = await off_loop(partial(spec.logs_specs.reify, added))
    plans = plan_streams(dest, ranks)
    if set(added) != set(ranks):
        raise InvalidRanksError(f"envs after LogsSpecs.reify: expected the local ranks {ranks}, got {[*added]}")
    envs = _environments(spec, added, dest, containment)
    await off_loop(partial(spec.workload.check, envs))
    cpus: dict[int, frozenset[int]] = {}
    if spec.numa_options is not None:
        cpus = await off_loop(partial(_bind, spec.numa_options, spec.nprocs, ranks))
    await off_loop(partial(containment.open, envs))
    await _open(streams, plans, dest, spec)
    return Prepared(dest, envs, cpus)


def _bind(options: NumaOptions, nprocs: int, ranks: Sequence[int]) -> dict[int, frozenset[int]]:
    from aelastic.conduct.binding import cpus_by_rank  # 8 ms that few need

    return cpus_by_rank(options, nprocs, ranks)


def _environments(
    spec: RunSpec, added: Mapping[int, dict[str, str]], dest: Destinations, containment: Containment
) -> dict[int, dict[str, str]]:
    application = {"PYTHONUNBUFFERED": "1", **os.environ}
    application.pop(DETACH, None)  # that is said of this process, not of its ranks
    outer = application.pop(MARKER, "")
    return {
        plan.rank: {
            **application,
            **_addition(plan, added[plan.rank], dest),
            MARKER: containment.mark(plan.rank, outer),
        }
        for plan in spec.ranks
    }


def _addition(plan: RankPlan, env: dict[str, str], dest: Destinations) -> dict[str, str]:
    """What a rank's environment adds. What ``reify`` set as the error file counts, else what its dest names."""
    if env.get(ERROR_FILE) == plan.env.get(ERROR_FILE):
        path = dest.error_files[plan.rank]
        env[ERROR_FILE] = "" if path == os.devnull else path
    return check_env(plan.rank, env)


async def _open(streams: Streams, plans: tuple[StreamPlan, ...], dest: Destinations, spec: RunSpec) -> None:
    paths = {Std.OUT: dest.filtered_stdout, Std.ERR: dest.filtered_stderr}
    filters = {std: (paths[std], needles) for std, needles in spec.filters.items() if paths[std]}
    try:
        await streams.open(plans, filters)
    except OSError as error:
        whose = next((f"rank {plan.rank}" for plan in plans if plan.path == error.filename), "the ranks")
        text = f"{whose}: the output cannot be captured: {error.strerror}"
        raise OSError(error.errno, text, error.filename) from error
