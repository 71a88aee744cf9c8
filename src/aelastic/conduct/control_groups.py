"""The control groups of the ranks of one run, and the thread that sees to them."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aelastic.process.cgroup import ControlGroup, own_directory
from aelastic.process.marker import Hunted, Quarry, last_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

logger = logging.getLogger("aelastic")

_PACE = 0.01  # seconds
_PATIENCE = 2.0  # seconds for what was killed to vanish
_FEW, _MOST_ROUNDS = 256, 10  # pids that are looked at one by one, and how often


@dataclass(frozen=True, slots=True)
class _Errand:
    """The leader of ``rank`` is there, or it is gone, and its process group with it."""

    rank: int
    pid: int
    group: ControlGroup
    is_gone: bool


class ControlGroups:
    """One for each rank of ``run``, and one ``around`` them; none before ``make``.

    Moving a process into a group can take the kernel 10 ms, so a thread does it: for the first rank at once, and then
    for as many as come within ``_PACE``. ``submit`` calls a function in a thread.
    """

    def __init__(self, run: str, submit: Callable[..., Future[Any]], clock: Callable[[], float]) -> None:
        self.around: ControlGroup | None = None
        self.someone_may_hide = False  # who was started before its rank was a member
        self._run = run
        self._quarry = Quarry(run)
        self._submit = submit
        self._clock = clock
        self._groups: dict[int, ControlGroup] = {}
        self._ends: list[Future[Hunted]] = []
        self._errands: list[_Errand] = []
        self._trip: Future[None] | None = None
        self._resting: asyncio.TimerHandle | None = None

    def make(self, ranks: Iterable[int]) -> str:
        """Make them; what prevents it, if something does. Blocks."""
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
        self.around, self._groups = around, groups
        return ""

    def members_file(self, rank: int) -> str | None:
        """Where a fork enters its control group by itself."""
        return self._groups[rank].members_file if rank in self._groups else None

    def adopt(self, rank: int, pid: int) -> None:
        """Let the leader of ``rank``, and what it has started meanwhile, become members."""
        if rank in self._groups:
            self._send(_Errand(rank, pid, self._groups[rank], is_gone=False))

    def leave(self, rank: int, pid: int) -> None:
        """The leader is gone, and its process group with it: let what has left that be ended."""
        if rank in self._groups:
            self._send(_Errand(rank, pid, self._groups.pop(rank), is_gone=True))

    async def settled(self, timeout: float) -> list[Future[Hunted]]:
        """Wait until all that was asked for is done or begun; what is found out by ending what ranks have left."""
        while (trip := self._next_trip()) is not None:
            done, _ = await asyncio.wait({asyncio.wrap_future(trip)}, timeout=timeout)
            if not done:
                self.someone_may_hide = True
                break
        self.let_go()
        return list(self._ends)

    def let_go(self) -> None:
        """Begin nothing more."""
        self._errands.clear()
        if self._resting is not None:
            self._resting.cancel()

    def end(self) -> None:
        """End all that is in them, and remove them. Blocks."""
        if self.around is not None:
            self.around.end(_PATIENCE, self._clock)

    def _send(self, errand: _Errand) -> None:
        self._errands.append(errand)
        if self._resting is None:
            self._set_off()

    def _next_trip(self) -> Future[None] | None:
        """The one that is under way, or begins now."""
        self._set_off()
        return None if self._trip is None or self._trip.done() else self._trip

    def _set_off(self) -> None:
        """Unless there is nothing to do, or the thread is still on its way."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = None
        if not self._errands:
            return
        if self._trip is None or self._trip.done():
            errands, self._errands = self._errands, []
            self._trip = self._submit(self._go, errands)
        self._resting = asyncio.get_running_loop().call_later(_PACE, self._set_off)

    def _go(self, errands: Sequence[_Errand]) -> None:
        gone = {errand.rank: errand for errand in errands if errand.is_gone}
        arrived = {errand.rank: errand for errand in errands if not errand.is_gone}
        in_time = {rank: errand for rank, errand in arrived.items() if rank not in gone}
        if not _adopt(self._quarry, in_time) or len(in_time) < len(arrived):
            self.someone_may_hide = True
        self._see_off([*gone.values()])

    def _see_off(self, gone: Sequence[_Errand]) -> None:
        if len(gone) > 1 and self.around is not None and self.around.is_empty():
            return
        for errand in gone:
            if not errand.group.is_empty():
                self._ends.append(self._submit(_end, errand, self._clock))


def _adopt(quarry: Quarry, arrived: Mapping[int, _Errand]) -> bool:
    """Make leaders members, and what they have started meanwhile; whether that is all.

    Who becomes a member may be forking just then, and what is gone may have forked: nobody is missed when a look at
    all new processes shows none that is not a member, and no other was made meanwhile.
    """
    known, found = set[int](), {errand.pid: errand.group for errand in arrived.values()}
    first = min(found, default=0)
    try:
        for _ in range(_MOST_ROUNDS if found else 0):
            for pid, group in found.items():
                group.adopt(pid)
            known.update(found)
            last = last_pid()
            if last is None or not first <= last <= first + _FEW:
                return False
            looks = {pid: quarry.look(pid) for pid in range(first + 1, last + 1) if pid not in known}
            if any(look.starting for look in looks.values()):
                return False
            known.update(looks)
            ranks = {pid: look.rank for pid, look in looks.items() if look.rank is not None}
            found = {pid: arrived[rank].group for pid, rank in ranks.items() if rank in arrived}
            if not found and last == last_pid():
                return True
    except OSError as error:
        logger.debug("processes %s could not be put into their control groups: %s", [*found], error)
        return False
    return not arrived


def _end(errand: _Errand, clock: Callable[[], float]) -> Hunted:
    detached = errand.group.end(_PATIENCE, clock)
    return Hunted(detached={errand.rank: detached} if detached else {})
