"""What was found out about the ranks of a run, and the result that it amounts to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aelastic.conduct.prepare import ERROR_FILE
from aelastic.conduct.workload import Delivered, Undelivered
from aelastic.decide.verdict import Evidence, failure_of
from aelastic.errors.report import Unreadable
from aelastic.process.reports import read_report
from aelastic.results import RunProcsResult
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aelastic.conduct.board import Board
    from aelastic.conduct.containment import Containment
    from aelastic.conduct.prepare import OffLoop, Prepared, RunSpec
    from aelastic.conduct.ranks import Ranks
    from aelastic.conduct.workload import Outcome, Tools
    from aelastic.decide.gang import Gang
    from aelastic.errors.report import Report
    from aelastic.logs.streams import Streams

_STDERR_TAIL_LINES, _STACKS_LINES = 20, 200


class Findings:
    """``outcomes``: what each rank has delivered, as far as it was looked at."""

    def __init__(
        self, spec: RunSpec, gang: Gang, ranks: Ranks, board: Board, streams: Streams, containment: Containment
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._spec = spec
        self._gang = gang
        self._ranks = ranks
        self._board = board
        self._streams = streams
        self._containment = containment
        self._reports: dict[int, Report | Unreadable | None] = {}

    def abandoned(self) -> dict[int, int]:
        """Rank to pid of what did not end even after SIGKILL."""
        return {rank: self._ranks.processes[rank].pid for rank in self._gang.abandoned}

    async def collect(self, prepared: Prepared, tools: Tools, off_loop: OffLoop) -> None:
        """Look at what the ranks have delivered and reported, once all have ended."""
        if self._spec.workload.delivers:
            for rank in self._gang.ends.keys() - self.outcomes.keys():
                self.outcomes[rank] = await self._spec.workload.outcome(rank, tools)
        if failed := self._failed():  # a thread may not be to be had
            await off_loop(partial(self._read_reports, prepared, failed))

    def result(self, prepared: Prepared, epoch: float, at: float) -> RunProcsResult:
        """The result, of what was found so far. ``epoch`` added to our clock, which says ``at`` now, is the time."""
        failures = [failure_of(self._evidence(prepared, rank, epoch, at)) for rank in self._failed()]
        failures.sort(key=lambda failure: (failure.collateral, failure.failed_at))
        return RunProcsResult(
            return_values=self._return_values(bool(failures)),
            failures={failure.local_rank: failure for failure in failures},
            stdouts=dict(prepared.dest.stdouts),
            stderrs=dict(prepared.dest.stderrs),
            exitcodes={rank: end.exitcode for rank, end in sorted(self._gang.ends.items())},
            abandoned=self.abandoned(),
            detached={rank: tuple(pids) for rank, pids in sorted(self._containment.detached.items())},
            lost_log_bytes=self._streams.lost_bytes(),
            name=self._spec.name,
        )

    def _read_reports(self, prepared: Prepared, ranks: Sequence[int]) -> None:
        """Blocks. A disk that does not answer for one of them leaves those before it."""
        for rank in ranks:
            self._reports[rank] = read_report(_error_file(prepared, rank))

    def _failed(self) -> list[int]:
        return sorted([rank for rank, end in self._gang.ends.items() if end.failed] + self._gang.abandoned)

    def _return_values(self, failed: bool) -> dict[int, Any]:
        """Programs: None for each rank of a run that succeeded. Functions: whatever was delivered."""
        if not self._spec.workload.delivers:
            return {} if failed else {plan.rank: None for plan in self._spec.ranks}
        outcomes = sorted(self.outcomes.items())
        return {rank: outcome.value for rank, outcome in outcomes if isinstance(outcome, Delivered)}

    def _evidence(self, prepared: Prepared, rank: int, epoch: float, at: float) -> Evidence:
        started, end = self._board.started[rank], self._gang.ends.get(rank)
        outcome = self.outcomes.get(rank)
        undelivered = outcome if isinstance(outcome, Undelivered) and end and end.exitcode == 0 else None
        hang = self._gang.hangs.get(rank)
        problem = hang.reason if hang else undelivered.problem if undelivered else ""
        not_read = Unreadable("the run was cut short before it was read")
        return Evidence(
            rank=rank,
            pid=started.pid,
            exitcode=end.exitcode if end else None,
            collateral=end.collateral if end else hang is None,
            started_at=started.time,
            ended_at=epoch + (end.at if end else at),
            error_file=_error_file(prepared, rank),
            report=self._reports.get(rank, not_read),
            problem=problem,
            traceback=undelivered.traceback if undelivered and not hang else "",
            stderr_tail=self._streams.last_lines(rank, Std.ERR, _STACKS_LINES if hang else _STDERR_TAIL_LINES),
            failed_at=epoch + hang.at if hang else 0.0,
        )


def _error_file(prepared: Prepared, rank: int) -> str:
    return prepared.envs[rank].get(ERROR_FILE, "")
