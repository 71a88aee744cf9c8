"""What the report of a failing test says about ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aelastic.errors.base import NotRunningError
from aelastic.errors.child_failed import ChildFailedError
from aelastic.std import Std

if TYPE_CHECKING:
    from aelastic.events import LogLine, RankSnapshot
    from aelastic.results import RunProcsResult

_LINES = 20


class Reported(Protocol):
    """A ``PContext``, a ``Supervisor``, or one that blocks."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def result(self) -> RunProcsResult | None:
        """The result, once there is one."""

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""

    def logs(self, rank: int | None = None) -> Any:
        """Its lines; those that are remembered can be taken at once."""


def describe(one: Reported) -> str:
    """Every rank with its last lines, and the failures with their tracebacks."""
    try:
        texts = [_describe_rank(one, seen) for seen in one.snapshot().values()]
    except NotRunningError as error:  # a service that was closed
        texts = [f"{one.name}: {error}"]
    if one.result is not None and one.result.failures:
        texts.append(ChildFailedError(one.name, one.result.failures).format_msg().strip("\n"))
    return "\n".join(texts)


def leftovers(one: Reported) -> list[str]:
    """What of ``one``, which is over, still runs."""
    if one.result is None:
        return []
    detached = [(rank, pid) for rank, pids in one.result.detached.items() for pid in pids]
    return [
        *(f"{one.name}, rank {rank}: pid {pid}, which nothing could end" for rank, pid in one.result.abandoned.items()),
        *(f"{one.name}, rank {rank}: pid {pid}, started with AELASTIC_DETACH=1" for rank, pid in detached),
    ]


def _describe_rank(one: Reported, seen: RankSnapshot) -> str:
    how = seen.state.value if seen.exitcode is None else f"ended with {seen.exitcode}"
    told = f", {seen.status}" if seen.status else ""
    return "\n".join([f"{one.name}, rank {seen.rank} (pid {seen.pid}): {how}{told}", *_last_lines(one, seen.rank)])


def _last_lines(one: Reported, rank: int) -> list[str]:
    try:
        subscription = one.logs(rank)
    except NotRunningError as error:
        return [f"  ({error})"]
    lines: list[LogLine] = subscription.take()
    subscription.close()
    return [
        f"  {name}: {line.text}"
        for name, std in (("stdout", Std.OUT), ("stderr", Std.ERR))
        for line in [line for line in lines if line.stream is std][-_LINES:]
    ]
