"""What holds the ranks of one run together: whoever belongs to it is found at its end, and does not outlive us."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from aelastic.errors.base import InvalidArgumentError
from aelastic.process.blocking import wait_for_ends
from aelastic.process.cgroup import ControlGroup, own_directory
from aelastic.process.guardian import Guardian
from aelastic.process.limits import explain
from aelastic.process.marker import Hunted, Quarry, hunt, last_pid, mark, marks_can_be_read

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator
    from concurrent.futures import Executor, Future

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
        self._around: ControlGroup | None = None
        self._groups: dict[int, ControlGroup] = {}
        self._adopted: dict[int, Future[bool]] = {}
        self._ends: list[asyncio.Future[Hunted]] = []
        self._launched = False
        self._someone_may_hide = False

    def open(self, ranks: Iterable[int]) -> None:
        """Make what the mode needs. Blocks. Raises ``InvalidArgumentError`` when ``mode`` cannot be had here."""
        if self.mode in (None, "cgroup"):
            problem = self._make_groups(ranks)
            if problem and self.mode == "cgroup":
                raise InvalidArgumentError(
                    f"containment='cgroup': {problem}; leave it out for the strongest that works"
                )
            if problem:
                logger.debug("containment without cgroups: %s", problem)
        if self.mode == "marker" and not marks_can_be_read():
            raise InvalidArgumentError("containment='marker': this system has no /proc; use containment='group'")
        if self.mode is None:
            self.mode = "cgroup" if self._around else "marker" if marks_can_be_read() else "group"
        logger.debug("containment: %s", self.mode)

    def begin(self) -> None:
        """Before the first launch. Raises ``OSError``."""
        try:
            self._guardian = Guardian.join(self._clock)
        except OSError as error:
            raise OSError(error.errno, f"the guardian of the ranks could not be started: {explain(error)}") from error
        if self.mode != "group":
            self._register(f"m{self._run}")
        if self._around is not None:
            self._register(f"c{self._around.directory}")

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
        self._register(f"g{pid}")
        self._unregister(f"m{self._run}.{rank}")
        if rank in self._groups:
            self._adopted[rank] = self._executor.submit(_adopt, self._groups[rank], Quarry(self._run, rank), pid)

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
        return self._groups[rank].members_file if rank in self._groups else None

    def leave(self, rank: int, pid: int) -> None:
        """The leader of ``rank`` is gone, and its process group with it: see to what has left that."""
        self._unregister(f"g{pid}")
        if rank not in self._groups:
            return
        group, adopted = self._groups.pop(rank), self._adopted.pop(rank, None)
        if adopted is None or adopted.cancel() or not adopted.done() or not adopted.result():
            self._someone_may_hide = True  # it may have started something before it was a member
        if not group.is_empty():
            self._ends.append(self._off_loop(partial(_end, rank, group, self._clock)))

    async def settle(self, given_up: Container[int]) -> None:
        """No leader is left but the pids ``given_up``: end what has left their groups. Bounded."""
        jobs: list[asyncio.Future[Hunted]] = list(self._ends)
        if self._launched and (self.mode == "marker" or self._someone_may_hide):
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
        if self._around is not None:
            self._executor.submit(self._around.end, _PATIENCE, self._clock)  # nobody has to wait for that
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

    def _register(self, entry: str) -> None:
        if self._guardian is not None:
            self._entries.add(entry)
            self._guardian.add(entry)

    def _unregister(self, entry: str) -> None:
        if self._guardian is not None and entry in self._entries:
            self._entries.remove(entry)
            self._guardian.remove(entry)

    def _end_the_rest(self) -> None:
        if self._around is not None:
            self._around.end(_PATIENCE, self._clock)
        if self.mode in ("marker", "cgroup"):
            hunt(Quarry(self._run), _PATIENCE, self._clock)

    def _make_groups(self, ranks: Iterable[int]) -> str:
        """What prevents it, if something does."""
        parent = own_directory()
        if parent is None:
            return "there is no cgroup v2 directory that can be written to"
        around = ControlGroup(os.path.join(parent, f"aelastic-{self._run}"), parent)
        try:
            around.make()
            groups = {rank: ControlGroup(os.path.join(around.directory, str(rank)), parent) for rank in ranks}
            for group in groups.values():
                group.make()
        except OSError as error:
            around.remove()
            return str(error)
        self._around, self._groups = around, groups
        return ""

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


def _adopt(group: ControlGroup, quarry: Quarry, pid: int) -> bool:
    """Make ``pid`` a member, and what it has started meanwhile; whether that is all.

    Who becomes a member may be forking just then, and what is gone may have forked: nobody is missed when a look at
    all new processes shows none that is not a member, and no other was made meanwhile.
    """
    members, found = set[int](), [pid]
    try:
        for _ in range(_MOST_ROUNDS):
            for one in found:
                group.adopt(one)
            members.update(found)
            last = last_pid()
            if last is None or not pid <= last <= pid + _FEW:
                return False
            looks = {one: quarry.look(one) for one in range(pid + 1, last + 1) if one not in members}
            if any(look.starting for look in looks.values()):
                return False
            found = [one for one, look in looks.items() if look.rank is not None]
            if not found and last == last_pid():
                return True
    except OSError as error:
        logger.debug("process %d could not be put into its control group: %s", pid, error)
    return False


def _end(rank: int, group: ControlGroup, clock: Callable[[], float]) -> Hunted:
    detached = group.end(_PATIENCE, clock)
    return Hunted(detached={rank: detached} if detached else {})
