"""What the ranks of a run do: the one difference between running a program and running a function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from aelastic.process.launch import Command, launch, launch_need
from aelastic.process.program import check_programs
from aelastic.process.stage import staged_command

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Executor

    from aelastic.conduct.containment import Containment
    from aelastic.decide.descriptors import Need
    from aelastic.process.watch import OnExit, Process


@dataclass(frozen=True, slots=True)
class Delivered:
    """The value that a rank has delivered; None for a program."""

    value: Any


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why there is no value. ``traceback`` is that of unpickling it, ``""`` when it never came."""

    problem: str
    traceback: str = ""


Outcome: TypeAlias = Delivered | Undelivered


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a rank is started with: its whole environment, its streams as descriptors (None: ours, shared), its cpus.

    ``cpus`` None: wherever this process may run. ``sockets``: descriptors here that the rank is to have from 3 on.
    """

    env: dict[str, str] = field(repr=False)
    stdout: int | None
    stderr: int | None
    cpus: frozenset[int] | None = None
    sockets: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run lends to its workload.

    ``spawn`` runs a coroutine in a task that nobody cancels, ``executor`` what may block; ``clock`` is monotonic.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    executor: Executor
    clock: Callable[[], float]
    containment: Containment


class Workload(Protocol):
    """How to start a rank, and what came of it. ``delivers``: a rank has a value to bring home."""

    delivers: bool

    def check(self, envs: Mapping[int, dict[str, str]]) -> None:
        """Raise what would go wrong with these environments, before the first process exists. Called in a thread."""

    def descriptors(self, rank: int) -> Need:
        """What ``rank`` takes of this process's file descriptors. Called in the run's loop, after ``check``."""

    async def launch(self, rank: int, surroundings: Surroundings, on_exit: OnExit, tools: Tools) -> Process:
        """Start ``rank``. Raises ``OSError``. Must not be cancelled half-way."""

    async def outcome(self, rank: int, tools: Tools) -> Outcome:
        """What the rank has delivered. Called when it has ended, once."""

    def close(self) -> None:
        """The run is over."""


class ProgramWorkload:
    """Every rank runs ``program`` with its own arguments."""

    delivers = False

    def __init__(self, program: str, args: Mapping[int, tuple[str, ...]]) -> None:
        self._program = program
        self._args = args

    def check(self, envs: Mapping[int, dict[str, str]]) -> None:
        """Look the program up as every rank will."""
        check_programs(self._program, envs)

    def descriptors(self, rank: int) -> Need:
        """Those of its launch."""
        return launch_need()

    async def launch(self, rank: int, surroundings: Surroundings, on_exit: OnExit, tools: Tools) -> Process:
        """Start the program."""
        argv = (self._program, *self._args[rank])
        env, cpus, sockets = surroundings.env, surroundings.cpus, surroundings.sockets
        if cpus is not None or sockets:
            argv = staged_command(argv, env, cpus, sockets)
        command = Command(argv, env, surroundings.stdout, surroundings.stderr, inherit=sockets)
        return await launch(command, on_exit, tools.clock)

    async def outcome(self, rank: int, tools: Tools) -> Outcome:
        """A program delivers nothing but its exit code."""
        return Delivered(None)

    def close(self) -> None:
        """Nothing is kept."""
