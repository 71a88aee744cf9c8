"""Everything of a run that can go wrong before its first process exists."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from aelastic.conduct.sockets import VARIABLES, SharedSockets
from aelastic.decide.descriptors import peak
from aelastic.decide.plan import check_env, plan_streams
from aelastic.decide.readiness import HealthPlan
from aelastic.errors.base import InvalidArgumentError, InvalidRanksError
from aelastic.errors.handler import PRIVATE_LOGS
from aelastic.logs.specs import LogsDest, LogsSpecs
from aelastic.process.limits import check_descriptors, explain
from aelastic.process.marker import DETACH, MARKER
from aelastic.process.pool import Pool
from aelastic.process.watch import UNKNOWN_EXITCODE
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aelastic.conduct.containment import Containment, Mode
    from aelastic.conduct.readiness import Monitor
    from aelastic.conduct.workload import Workload
    from aelastic.decide.plan import Destinations, RankPlan, StreamPlan
    from aelastic.logs.consoles import Consoles
    from aelastic.logs.streams import Streams
    from aelastic.numa import NumaOptions

logger = logging.getLogger("aelastic")

_T = TypeVar("_T")

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
# What is said of this process alone: whether it outlives a run, of its own error file, to whom it speaks, its sockets.
_OUR_OWN = (DETACH, PRIVATE_LOGS, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", *VARIABLES)


@dataclass(frozen=True, slots=True)
class Shared:
    """What runs that are there at the same time have in common. Its owner closes it."""

    executor: Pool
    consoles: Consoles


def file_threads() -> Pool:
    """The threads that write files, few and of our own: a slow disk must not use up the application's."""
    return Pool(max_workers=4, thread_name_prefix="aelastic-files")


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
    strip_escapes: bool | None = None
    containment: Mode | None = None
    health: HealthPlan = field(default_factory=HealthPlan)
    sockets: SharedSockets = field(default_factory=SharedSockets)
    shared: Shared | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where the logs go, the whole environment of each rank, and its cpus if it is bound."""

    dest: Destinations = field(default_factory=LogsDest)
    envs: dict[int, dict[str, str]] = field(default_factory=dict, repr=False)
    cpus: dict[int, frozenset[int]] = field(default_factory=dict)


class OffLoop(Protocol):
    """Calls a function in a thread."""

    def __call__(self, function: Callable[[], _T], /) -> Awaitable[_T]:
        """The answer of ``function``."""


def _warn_of_ignored_children() -> None:
    """Say that there will be no exit codes, where the kernel has been told to reap what we start."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        logger.warning(
            "SIGCHLD is ignored in this process, so the kernel tells nobody how a rank ends: every exit code will be "
            "%d; call signal.signal(signal.SIGCHLD, signal.SIG_DFL) before the start",
            UNKNOWN_EXITCODE,
        )


async def prepare(
    spec: RunSpec, streams: Streams, containment: Containment, monitor: Monitor, off_loop: OffLoop
) -> Prepared:
    """Ask the logs specs, check the ranks, and open ``monitor`` and ``streams``, if descriptors are left for it all.

    Raises ``InvalidRanksError``, ``InvalidArgumentError``, ``OSError``, and whatever the logs specs raise.
    """
    _warn_of_ignored_children()
    ranks = [plan.rank for plan in spec.ranks]
    added = {plan.rank: dict(plan.env) for plan in spec.ranks}
    dest = await off_loop(partial(spec.logs_specs.reify, added))
    plans = plan_streams(dest, ranks)
    if set(added) != set(ranks):
        raise InvalidRanksError(f"envs after LogsSpecs.reify: expected the local ranks {ranks}, got {[*added]}")
    additions = {plan.rank: _addition(plan, added[plan.rank], dest) for plan in spec.ranks}
    envs, cpus = await off_loop(partial(_arrange, spec, plans, additions, containment, monitor))
    filters = _filters(spec, dest)
    needs = {rank: spec.workload.descriptors(rank) + monitor.descriptors(rank) for rank in ranks}
    needed = peak(plans, [path for path, _ in filters.values()], needs)
    await off_loop(partial(_take, needed, containment, ranks))
    await _open(streams, plans, filters, spec)
    return Prepared(dest, envs, cpus)


def _arrange(
    spec: RunSpec,
    plans: Sequence[StreamPlan],
    additions: Mapping[int, dict[str, str]],
    containment: Containment,
    monitor: Monitor,
) -> tuple[dict[int, dict[str, str]], dict[int, frozenset[int]]]:
    """Open ``monitor``; the environments and the cpus of the ranks, checked. For a thread."""
    heard = monitor.open(plans)
    told = {plan.rank: {**heard.get(plan.rank, {}), **spec.sockets.environment()} for plan in spec.ranks}
    _check_additions(additions, told)
    application = _inherited(spec)
    outer = application.pop(MARKER, "")
    ours = {rank: {**told[rank], MARKER: containment.mark(rank, outer)} for rank in additions}
    envs = {
        rank: {**application, **env, **_identity(rank, env, spec.nprocs), **ours[rank]}
        for rank, env in additions.items()
    }
    spec.workload.check(envs)
    return envs, {} if spec.numa_options is None else _bind(spec.numa_options, spec.nprocs, [*envs])


def _take(descriptors: int, containment: Containment, ranks: Sequence[int]) -> None:
    """Make what contains the ranks, if so many descriptors are left. For a thread."""
    check_descriptors(descriptors)
    containment.open(ranks)


def _bind(options: NumaOptions, nprocs: int, ranks: Sequence[int]) -> dict[int, frozenset[int]]:
    from aelastic.conduct.binding import cpus_by_rank  # 8 ms that few need

    return cpus_by_rank(options, nprocs, ranks)


def _inherited(spec: RunSpec) -> dict[str, str]:
    """What a rank's environment has from this process's: all but what is said of this process alone."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OUR_OWN}
    return {"PYTHONUNBUFFERED": "1", **inherited, **({} if _are_private(spec) else {PRIVATE_LOGS: "0"})}


def _check_additions(additions: Mapping[int, Mapping[str, str]], told: Mapping[int, Mapping[str, str]]) -> None:
    """Nobody may want ``told`` to be different. A copy of what this process has is no wish."""
    for rank, names in told.items():
        for name in names:
            if additions[rank].get(name, os.environ.get(name)) != os.environ.get(name):
                raise InvalidArgumentError(f"envs[{rank}] sets {name}, which readiness=, watchdog= or sockets= need")


def _identity(rank: int, env: Mapping[str, str], nprocs: int) -> dict[str, str]:
    """What ``aelastic.rank`` answers. An inherited ``RANK`` is not this rank's, but that of the application."""
    return {
        "AELASTIC_RANK": env.get("RANK", str(rank)),
        "AELASTIC_WORLD_SIZE": env.get("WORLD_SIZE", str(nprocs)),
        "AELASTIC_LOCAL_RANK": str(rank),
        "AELASTIC_LOCAL_WORLD_SIZE": str(nprocs),
    }


def _addition(plan: RankPlan, env: dict[str, str], dest: Destinations) -> dict[str, str]:
    """What a rank's environment adds. What ``reify`` set as the error file counts, else what its dest names."""
    if env.get(ERROR_FILE) == plan.env.get(ERROR_FILE):
        path = dest.error_files[plan.rank]
        env[ERROR_FILE] = "" if path == os.devnull else path
    return check_env(plan.rank, env)


def _filters(spec: RunSpec, dest: Destinations) -> dict[Std, tuple[str, tuple[str, ...]]]:
    """The filtered logs that there are to be, and what they look for."""
    paths = {Std.OUT: dest.filtered_stdout, Std.ERR: dest.filtered_stderr}
    return {std: (paths[std], needles) for std, needles in spec.filters.items() if paths[std]}


async def _open(
    streams: Streams, plans: tuple[StreamPlan, ...], filters: Mapping[Std, tuple[str, tuple[str, ...]]], spec: RunSpec
) -> None:
    try:
        await streams.open(plans, filters, strip_escapes=spec.strip_escapes, private=_are_private(spec))
    except OSError as error:
        whose = next((f"rank {plan.rank}" for plan in plans if plan.path == error.filename), "the ranks")
        text = f"{whose}: the output cannot be captured: {explain(error)}"
        raise OSError(error.errno, text, error.filename) from error


def _are_private(spec: RunSpec) -> bool:
    """Whether the logs are for their owner alone; a ``LogsSpecs`` written for torch has no opinion."""
    return bool(getattr(spec.logs_specs, "private", True))
