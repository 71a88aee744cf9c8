"""What the JSON API speaks of. The descriptions in ``openapi.json`` are made of these types and their docstrings.

Times are in seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rank is: done of total steps, null when nobody knows."""

    done: float
    total: float | None


@dataclass(frozen=True, slots=True)
class Rank:
    """One rank now. cpu is in percent of one CPU, memory in bytes, both with all that it has started; null: unknown."""

    rank: int
    state: str
    ready: bool
    pid: int | None = None
    exitcode: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    restarts: int = 0
    status: str = ""
    progress: Progress | None = None
    last_line: str = ""
    cpu: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A group of ranks. state: absent, pending, running, succeeded, failed or stopped.

    actions: what can be asked for of it, where the dashboard has a token: stop, signal, restart (of a rank), and
    stop_rank and start_rank. failures: how many there are to be asked for; failed_at: when the latest attempt that had
    any failed, since old ones are forgotten for new ones.
    """

    name: str
    title: str
    state: str
    strategy: str | None = None
    restarts: int = 0
    gave_up: str = ""
    failures: int = 0
    failed_at: float | None = None
    actions: tuple[str, ...] = ()
    ranks: tuple[Rank, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A run without its ranks, which are counted by state."""

    name: str
    title: str
    state: str
    ranks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs. actions: whether there are any; they need the token."""

    now: float
    actions: bool
    runs: tuple[Outline, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A rank that ended badly. collateral: it had been told to end. message: its traceback, if it left one."""

    rank: int
    attempt: int
    pid: int
    exitcode: int
    reason: str
    message: str
    stderr_tail: str
    collateral: bool
    failed_at: float
    lifetime: float


@dataclass(frozen=True, slots=True)
class Failures:
    """The last 200 failures so far, the latest attempt first; the first of an attempt before what it led to."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Bytes start to end of a log of size bytes, as text: whole lines, unless one is longer than a page.

    The page before it ends before start, the page after it begins after end.
    """

    start: int
    end: int
    size: int
    text: str


@dataclass(frozen=True, slots=True)
class Signal:
    """The name of a signal, such as SIGUSR1."""

    signal: str


@dataclass(frozen=True, slots=True)
class Health:
    """ready, and what is missing."""

    ready: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a request."""

    detail: str
