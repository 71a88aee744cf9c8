"""What holds the ranks of one run together: whoever belongs to it is found at its end, and does not outlive us."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from aelastic.conduct.control_groups import ControlGroups
from aelastic.errors.base import InvalidArgumentError
from aelastic.process.blocking import wait_for_ends
from aelastic.process.guardian import Guardian
from aelastic.process.limits import explain
from aelastic.process.marker import Hunted, Quarry, hunt, mark, marks_can_be_read

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from concurrent.futures import Executor

logger = logging.getLogger("aelastic")

Mode: TypeAlias = Literal["group", "marker", "cgroup"]

_PATIENCE = 2.0  # seconds for what was killed to vanish
_FEW, _MOST_ROUNDS = 256, 10  # pids that are looked at one by one, and how often


class Containment:
    """The guardian, the mark and the control groups of one run.

    ``mode`` says how far a process may go without being lost: out of its process ``group`` it is lost, with a
    ``marker`` it is found by its environment, in a ``cgroup`` it cannot hide. Each includes those before it; None
    takes the strongest that works here.
    """

    def __init__(self, wanted: Mode | None, executor: Executor, clock: Callable[[], float]) -> None:
        self.mode: Mode | None = wanted
        self.detached: dict[int, list[int]] = {}
        self._run = secrets.token_hex(8)
        self._executor = executor
        self._clock = clock
        self._guardian: Guardian | None = None
        self._entries: set[str] = set()
        self._control_groups = ControlGroups(self._run, lambda *job: self._executor.submit(*job), clock)
        self._launched = False

    def open(self, ranks: Iterable[int]) -> None:
        """Make what the mode needs. Blocks. Raises ``InvalidArgumentError`` when ``mode`` cannot be had here."""
        if self.mode in (None, "cgroup"):
            problem = self._control_groups.make(ranks)
            if problem and self.mode == "cgroup":
                raise InvalidArgumentError(
                    f"containment='cgroup': {problem}; leave it out for the strongest that works"
                )
            if problem:
                logger.debug("containment without cgroups: %s", problem)
        if self.mode == "marker" and not marks_can_be_read():
            raise InvalidArgumentError("containment='marker': this system has no /proc; use containment='group'")
        if self.mode is None:
            self.mode = "cgroup" if self._control_groups.around else "marker" if marks_can_be_read() else "group"
        logger.debug("containment: %s", self.mode)

    def begin(self) -> None:
        """Before the first launch. Raises ``OSError``."""
        try:
            self._guardian = Guardian.join(self._clock)
        except OSError as error:
            raise OSError(error.errno, f"the guardian of the ranks could not be started: {explain(error)}") from error
        if self.mode != "group":
            self._register(f"m{self._run}")
        if self._control_groups.around is not None:
            self._register(f"c{self._control_groups.around.directory}")

    def mark(self, rank: int, outer: str) -> str:
        """What the environment of ``rank`` says of whom it belongs to."""
        return mark(self._run, rank, outer)

    def expect(self, rank: int) -> None:
        """``rank`` is going to be launched."""
        if self.mode == "group":
            self._register(f"m{self._run}.{rank}")

    def adopt(self, rank: int, pid: int) -> None:
        """``rank`` is there."""
        self._launched = True
        self._register(f"g{pid}", soon=self.mode != "group")  # the mark leads to it as well
        self._unregister(f"m{self._run}.{rank}")
        self._control_groups.adopt(rank, pid)

    @contextlib.contextmanager
    def guardian_lent(self, *, to_server: bool) -> Iterator[int | None]:
        """A descriptor for a fork, through which it tells the guardian of itself; see ``Guardian.lend``."""
        guardian = self._guardian
        descriptor = guardian.lend(to_server=to_server) if guardian else None
        try:
            yield descriptor
        finally:
            if guardian is not None and descriptor is not None:
                guardian.take_back(descriptor)

    def members_file(self, rank: int) -> str | None:
        """Where a fork enters its control group by itself."""
        return self._control_groups.members_file(rank)

    def leave(self, rank: int, pid: int) -> None:
        """The leader of ``rank`` is gone, and its process group with it: see to what has left that."""
        self._unregister(f"g{pid}")
        self._control_groups.leave(rank, pid)

    async def settle(self, given_up: Container[int]) -> None:
        """No leader is left but the pids ``given_up``: end what has left their groups. Bounded."""
        jobs = list(map(asyncio.wrap_future, await self._control_groups.settled(2 * _PATIENCE)))
        if self._launched and (self.mode == "marker" or self._control_groups.someone_may_hide):
            jobs.append(self._off_loop(partial(hunt, Quarry(self._run), _PATIENCE, self._clock, given_up)))
        if not jobs:
            return
        done, late = await asyncio.wait(jobs, timeout=2 * _PATIENCE)
        for job in done:
            try:
                self._note(job.result())
            except OSError as error:
                logger.warning("what the ranks may have left was not looked for: %s", error)
        if late:
            logger.warning("looking for what the ranks have left takes too long; something may be left")

    async def close(self) -> None:
        """The run is over."""
        if self._control_groups.around is not None:
            self._executor.submit(self._control_groups.end)  # nobody has to wait for that
        if (guardian := self.release()) is not None:
            await asyncio.wait({guardian.gone})

    def release(self) -> Guardian | None:
        """Take what is ours from the guardian; it is given when nobody else needs it: then it ends."""
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return None
        return guardian if guardian.leave(self._entries) else None

    def drop(self) -> Guardian | None:
        """As ``settle`` and ``close``, where nobody can wait for that; the guardian, if it ends."""
        guardian = self.release()
        self._control_groups.let_go()
        try:
            self._executor.submit(self._end_the_rest)
        except RuntimeError:  # the interpreter ends, and starts no thread any more
            self._end_the_rest()
        return guardian

    def end_blocking(self) -> None:
        """As ``settle`` and ``close``, where no loop runs any more."""
        self._end_the_rest()
        if (guardian := self.release()) is not None and guardian.pid is not None:
            wait_for_ends({0: guardian.pid}, _PATIENCE)

    def _register(self, entry: str, *, soon: bool = False) -> None:
        if self._guardian is not None:
            self._entries.add(entry)
            self._guardian.add(entry, soon=soon)

    def _unregister(self, entry: str) -> None:
        if self._guardian is not None and entry in self._entries:
            self._entries.remove(entry)
            self._guardian.remove(entry)

    def _end_the_rest(self) -> None:
        self._control_groups.end()
        if self.mode in ("marker", "cgroup"):
            hunt(Quarry(self._run), _PATIENCE, self._clock)

    def _note(self, hunted: Hunted) -> None:
        for rank, pids in hunted.killed.items():
            logger.debug("rank %d had left processes outside its group: %s", rank, pids)
        for rank, pids in hunted.survivors.items():
            logger.error("rank %d has left processes that do not end: %s", rank, pids)
        for rank, pids in hunted.detached.items():
            known = self.detached.setdefault(rank, [])
            known.extend(pid for pid in pids if pid not in known)

    def _off_loop(self, job: Callable[[], Hunted]) -> asyncio.Future[Hunted]:
        return asyncio.get_running_loop().run_in_executor(self._executor, job)
