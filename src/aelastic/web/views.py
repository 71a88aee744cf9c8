"""From runs and supervisors to the values of the API."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aelastic.conduct.context import PContext
from aelastic.errors.base import NotRunningError
from aelastic.events import RankSnapshot, RankState
from aelastic.web.values import Failure, Outline, Progress, Rank, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aelastic.errors.failure import ProcessFailure
    from aelastic.process.usage import Usage
    from aelastic.results import Attempt
    from aelastic.web.sources import Named, Watched

MOST_FAILURES = 200
_LONGEST_MESSAGE = 64 * 1024
_GANG_ACTIONS = ("stop", "signal")
_SUPERVISOR_ACTIONS = (*_GANG_ACTIONS, "restart")
_SINGLE_RANK_ACTIONS = (*_SUPERVISOR_ACTIONS, "stop_rank", "start_rank")


def snapshot_of(watched: Watched | None) -> dict[int, RankSnapshot]:
    """Its ranks; pending ones before its start."""
    if watched is None:
        return {}
    try:
        return watched.snapshot()
    except NotRunningError:
        ranks = range(watched.nprocs)
        return {rank: RankSnapshot(rank, RankState.PENDING, None, None, None, None, "") for rank in ranks}


def pids_of(watched: Watched) -> dict[int, int]:
    """The pids of those that run; none before the start."""
    return watched.pids() if has_begun(watched) else {}


def has_begun(watched: Watched) -> bool:
    """Whether it was started, or is being started."""
    try:
        watched.pids()
    except NotRunningError:
        return False
    return True


def has_logs(watched: Watched) -> bool:
    """Whether its logs can be asked for: those of a run once its first rank is there."""
    return has_begun(watched) and (not isinstance(watched, PContext) or bool(watched.pids()) or watched.done)


def state_of(watched: Watched | None) -> str:
    """One word for all of it, see ``Run``."""
    if watched is None:
        return "absent"
    if not watched.done:
        return "running" if has_begun(watched) else "pending"
    result = watched.result
    if result is None:  # it could not be started
        return "failed"
    if not result.is_failed():
        return "succeeded"
    return "failed" if result.first_failure is not None else "stopped"


def outline_of(named: Named) -> Outline:
    """The source in short."""
    states = Counter(seen.state.value for seen in snapshot_of(named.watched).values())
    return Outline(named.name, _title(named), state_of(named.watched), dict(states))


def run_of(named: Named, usage: Mapping[int, Usage]) -> Run:
    """The source at length; ``usage`` is by pid."""
    watched = named.watched
    if watched is None:
        return Run(named.name, named.name, "absent")
    ranks = tuple(_rank(seen, usage) for seen in snapshot_of(watched).values())
    state = state_of(watched)
    supervisor = None if isinstance(watched, PContext) else watched
    return Run(
        name=named.name,
        title=watched.name,
        state=state,
        strategy=supervisor.strategy if supervisor else None,
        restarts=supervisor.restarts if supervisor else 0,
        gave_up=supervisor.gave_up if supervisor else "",
        failures=_count_failures(watched),
        failed_at=_failed_at(watched),
        actions=_actions(watched) if state == "running" else (),
        ranks=ranks,
    )


def _count_failures(watched: Watched) -> int:
    return len(_last_failures(watched)) + sum(len(attempt.failures) for attempt in _attempts(watched))


def _failed_at(watched: Watched) -> float | None:
    for failures in (_last_failures(watched), *(attempt.failures.values() for attempt in reversed(_attempts(watched)))):
        if failures:
            return max(failure.failed_at for failure in failures)
    return None


def failures_of(watched: Watched | None) -> tuple[Failure, ...]:
    """The latest ones, see ``Failures``."""
    if watched is None:
        return ()
    attempts = _attempts(watched)
    number = max((attempt.number for attempt in attempts), default=0)
    found = _views(_last_failures(watched), number)
    for attempt in reversed(attempts):
        if len(found) >= MOST_FAILURES:
            break
        found += _views(attempt.failures.values(), attempt.number)
    return tuple(found[:MOST_FAILURES])


def _attempts(watched: Watched) -> tuple[Attempt, ...]:
    return () if isinstance(watched, PContext) else watched.attempts


def _last_failures(watched: Watched) -> list[ProcessFailure]:
    """Those of the result that are in no attempt: of a run, or those that a supervisor has found in the end."""
    if watched.result is None:
        return []
    told = {id(failure) for attempt in _attempts(watched) for failure in attempt.failures.values()}
    return [failure for failure in watched.result.failures.values() if id(failure) not in told]


def _title(named: Named) -> str:
    return named.name if named.watched is None else named.watched.name


def _actions(watched: Watched) -> tuple[str, ...]:
    if isinstance(watched, PContext):
        return _GANG_ACTIONS
    return _SINGLE_RANK_ACTIONS if watched.strategy == "one_for_one" else _SUPERVISOR_ACTIONS


def _rank(seen: RankSnapshot, usage: Mapping[int, Usage]) -> Rank:
    alive = seen.state in (RankState.RUNNING, RankState.STOPPING)
    taken = usage.get(seen.pid) if seen.pid is not None and alive else None
    return Rank(
        rank=seen.rank,
        state=seen.state.value,
        ready=seen.ready,
        pid=seen.pid,
        exitcode=seen.exitcode,
        started_at=seen.started_at,
        ended_at=seen.ended_at,
        restarts=seen.attempt,
        status=seen.status,
        progress=None if seen.progress is None else Progress(seen.progress.done, seen.progress.total),
        last_line=seen.last_line[:500],
        cpu=None if taken is None else round(taken.cpu, 1),
        memory=None if taken is None else taken.memory,
    )


def _views(failures: Iterable[ProcessFailure], attempt: int) -> list[Failure]:
    in_order = sorted(failures, key=lambda failure: (failure.collateral, failure.failed_at))
    return [
        Failure(
            rank=failure.local_rank,
            attempt=attempt,
            pid=failure.pid,
            exitcode=failure.exitcode,
            reason=failure.reason,
            message=failure.text()[:_LONGEST_MESSAGE],
            stderr_tail=failure.stderr_tail[:_LONGEST_MESSAGE],
            collateral=failure.collateral,
            failed_at=failure.failed_at,
            lifetime=failure.lifetime,
        )
        for failure in in_order
    ]
