"""Short ways to supervise ranks in a test."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import aelastic
from aelastic.process.launch import launch

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    import pytest

AT_ONCE = aelastic.RestartPolicy(backoff=0)
ENDLESS = aelastic.RestartPolicy("always", max_restarts=None, backoff=0)
LATER = aelastic.RestartPolicy(backoff=600, max_backoff=600)  # later than any test lasts

# Says "ready" and its attempt, then stays until it is told to end.
STAYS = "echo ready $TORCHELASTIC_RESTART_COUNT; exec sleep 600"

_E = TypeVar("_E", bound=aelastic.Event)


def supervised(*scripts: str, name: str = "w", **options: Any) -> aelastic.Supervisor:
    """One rank per script, run by ``sh``; ``options`` are those of ``Supervisor``. Restarts are at once."""
    options.setdefault("restart", AT_ONCE)
    options.setdefault("envs", {rank: {} for rank in range(len(scripts))})
    return aelastic.Supervisor(
        name, "/bin/sh", args={rank: ("-c", script) for rank, script in enumerate(scripts)}, **options
    )


def one_for_one(*scripts: str, **options: Any) -> aelastic.Supervisor:
    """Each rank its own life."""
    return supervised(*scripts, strategy="one_for_one", **options)


def fails_until(attempt: int, then: str = "exit 0") -> str:
    """Exit with 3 in each attempt before ``attempt``."""
    return f"[ $TORCHELASTIC_RESTART_COUNT -ge {attempt} ] || exit 3; {then}"


def watched_launches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When programs are launched from now on, by ``time.monotonic``."""
    times: list[float] = []

    async def launch_and_tell(*args: Any, **options: Any) -> Any:
        times.append(time.monotonic())
        return await launch(*args, **options)

    monkeypatch.setattr("aelastic.conduct.workload.launch", launch_and_tell)
    return times


async def next_event(events: AsyncIterable[aelastic.Event], kind: type[_E], **fields: object) -> _E:
    """Wait for an event of ``kind`` with these fields."""
    async for event in events:
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
            return event
    raise AssertionError(f"it ended without {kind.__name__} {fields}")


async def said(supervisor: aelastic.Supervisor, text: str, rank: int | None = None) -> aelastic.LogLine:
    """Wait for a captured line that contains ``text``."""
    async for line in supervisor.logs(rank):
        if text in line.text:
            return line
    raise AssertionError(f"it ended without a line containing {text!r}")
