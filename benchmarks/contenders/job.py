"""What a contender is asked to run, and what it must be able to do with it."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PREFIX = "[b{}]:"
"""What stands before a teed line of a rank: torch's form, for a run called ``b``."""


class CannotError(Exception):
    """This contender cannot do what is asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """``program`` once for each tuple of arguments.

    ``capture``: ``none``, what the ranks write goes where ours goes; ``files``, both streams into files below
    ``directory``; ``tee``, the same, and each line to our standard output with the rank in front; ``filter``: as
    ``tee``, and the lines that contain ``needle`` into a file of all ranks. ``grace``: seconds between SIGTERM and
    SIGKILL. ``in_threads``: what blocks is called in threads, as an asyncio application must.
    """

    program: str
    args: tuple[tuple[str, ...], ...]
    directory: str
    capture: Literal["none", "files", "tee", "filter"] = "none"
    needle: str = ""
    grace: float = 30.0
    in_threads: bool = False

    @property
    def ranks(self) -> int:
        """How many."""
        return len(self.args)


class Gang(Protocol):
    """A job of one contender."""

    async def start(self) -> None:
        """Start every rank."""

    def pids(self) -> list[int]:
        """By rank."""

    async def wait(self) -> list[int]:
        """Exit codes by rank, once all have ended; after a failure, the others have been stopped."""

    async def close(self) -> None:
        """Stop every rank that still runs, with the job's grace; all are gone then. Can be called again."""


class BlockingGang(ABC):
    """A ``Gang`` made of what blocks."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @abstractmethod
    def start_now(self) -> None:
        """As ``Gang.start``."""

    @abstractmethod
    def wait_now(self) -> list[int]:
        """As ``Gang.wait``."""

    @abstractmethod
    def close_now(self) -> None:
        """As ``Gang.close``."""

    @abstractmethod
    def pids(self) -> list[int]:
        """As ``Gang.pids``."""

    async def start(self) -> None:
        """As ``Gang.start``."""
        await self._do(self.start_now)

    async def wait(self) -> list[int]:
        """As ``Gang.wait``."""
        return await self._do(self.wait_now)

    async def close(self) -> None:
        """As ``Gang.close``."""
        await self._do(self.close_now)

    async def _do(self, act: Callable[[], T]) -> T:
        return await asyncio.to_thread(act) if self.job.in_threads else act()


def exitcode(status: Any) -> int:
    """What a return code means when it is None: nobody knows."""
    return -int(signal.SIGKILL) if status is None else int(status)
