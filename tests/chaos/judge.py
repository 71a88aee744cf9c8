"""Whether what a gang's result says is what its ranks did. Complaints are sentences; none is the best."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from aelastic import RankExited, RankStarted, RankState, RunFinished
from tests.chaos.plan import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aelastic import RunProcsResult
    from tests.chaos.deeds import Deeds
    from tests.chaos.stage import Seen, Stage

# Seconds between the moment a rank says that it ends and the one that the kernel says so: an interpreter's last
# breath, on a machine with other things to do.
MARGIN = 0.5
_SLACK = 10.0  # seconds that a stop may take beside its waits
_INTERRUPTED = {1, -signal.SIGINT}  # Python makes an exception of it, and who catches that may exit
_MAY_STOP_THE_START = ("cancels the start", "stops the start", "cancels", "cancels twice", "scope", "times out")


def judge(stage: Stage, deeds: Deeds) -> list[str]:
    """What is wrong."""
    complaints = list(stage.complaints)
    complaints += [*_judge_start(stage), *_judge_time(stage, deeds)]
    if gone := deeds.all("detached") - stage.outlived:
        complaints.append(f"what was left on purpose has not stayed: {sorted(gone)}")
    if stage.result is not None:
        case = _Case(stage, deeds, stage.result)
        complaints += [*case.exits(), *case.failures(), *case.causes(), *case.values(), *case.messages()]
        complaints += [
            *case.records(),
            *case.detached(),
            *(text for seen in stage.seen for text in case.spectator(seen)),
        ]
    return [f"{stage.plan.name}: {text}" for text in complaints]


def _judge_start(stage: Stage) -> Iterator[str]:
    plan = stage.plan
    if plan.broken:
        if stage.started:
            yield "it started, although it could not"
    elif stage.start_error is not None and plan.act.kind != "stops the start":
        yield f"the start failed: {stage.start_error!r}"
    elif not stage.started and plan.act.kind not in _MAY_STOP_THE_START:
        yield "it did not start, and nobody knows why"
    elif stage.started and stage.result is None and plan.act.kind != "drops":
        yield "there is no result"


def _judge_time(stage: Stage, deeds: Deeds) -> Iterator[str]:
    """Once a stop was due, nobody was waited for longer than the plan allows."""
    options = stage.plan.options
    failed = [rank for rank in range(len(stage.plan.ranks)) if stage.plan.fails(rank)]
    due = [ending.at + options["failure_grace"] for rank in failed if (ending := deeds.ending(rank)) is not None]
    due += [] if stage.stop_at is None else [stage.stop_at]
    grace = options["shutdown_timeout"] if options["shutdown_timeout"] < LONG else 0.0  # nobody would need all of that
    if due and stage.over_at > min(due) + 2 * grace + options["drain_timeout"] + _SLACK:
        yield f"it took {stage.over_at - min(due):.1f} seconds to stop, with {options}"


class _Case:
    def __init__(self, stage: Stage, deeds: Deeds, result: RunProcsResult) -> None:
        self.stage = stage
        self.plan = stage.plan
        self.deeds = deeds
        self.result = result
        self.codes = result.exitcodes

    # What the ranks ended with

    def exits(self) -> Iterator[str]:
        """Every rank has its end, and it is its own or one that it was given."""
        if self.result.abandoned:
            yield f"abandoned: {self.result.abandoned}"
        if set(self.codes) != set(range(len(self.plan.ranks))) and self.stage.stop_at is None:
            yield f"exit codes of {sorted(self.codes)} only"
        for rank, code in self.codes.items():
            allowed = self._allowed(rank)
            if code not in allowed:
                yield f"rank {rank} ended with {code}; expected one of {allowed}; {self._about(rank)}"

    def _allowed(self, rank: int) -> set[int]:
        ending, failure = self.deeds.ending(rank), self.result.failures.get(rank)
        allowed = set() if ending is None else {ending.code}
        if failure is not None and failure.collateral:
            allowed |= _deaths(self.stage.stop_signals | {int(self.plan.options["death_sig"]), signal.SIGKILL})
        return allowed | _deaths({one.signal for one in self.stage.sent if one.rank in (rank, None)})

    # Who failed

    def failures(self) -> Iterator[str]:
        """The failures are those ranks that did not end well, and their facts agree with the rest."""
        expected = {rank for rank, code in self.codes.items() if code != 0 or self._withholds(rank)}
        if set(self.result.failures) != expected:
            yield f"failures of {sorted(self.result.failures)}; expected {sorted(expected)}"
        for rank, failure in self.result.failures.items():
            if failure.exitcode != self.codes.get(rank) or failure.local_rank != rank:
                yield f"the failure of rank {rank} disagrees with exit code {self.codes.get(rank)}; {self._about(rank)}"
            leader = self.deeds.leader(rank)
            if failure.pid != self.stage.pids.get(rank, failure.pid) or leader not in (None, failure.pid):
                yield f"rank {rank} has pid {leader}, its failure says {failure.pid}"

    def _withholds(self, rank: int) -> bool:
        """Whether it exited with 0 and no value came."""
        return self.plan.home != "program" and self.plan.ranks[rank].how in ("_exit", "loads badly")

    # Who failed first

    def causes(self) -> Iterator[str]:
        """Nobody is a cause without reason, nobody with a reason is collateral, and the first is the first."""
        moments = {rank: at for rank in self.result.failures if (at := self._moment(rank)) is not None}
        first = self.result.first_failure
        for rank, failure in self.result.failures.items():
            if not failure.collateral and rank not in moments:
                yield f"rank {rank} is a cause, but it did not end by itself; {self._about(rank)}"
            elif failure.collateral and self._was_alone(rank, moments):
                yield f"rank {rank} is collateral, but it ended before anybody was told; {self._about(rank)}"
        if first is None:
            if self.result.failures and self.stage.stop_at is None:
                yield "there are failures without a first one"
        elif moments and moments.get(first.local_rank, 0.0) > min(moments.values()) + MARGIN:
            true = min(moments, key=lambda rank: moments[rank])
            yield f"rank {first.local_rank} is the first failure, but rank {true} was earlier; {moments}"

    def _moment(self, rank: int) -> float | None:
        """When ``rank`` failed by itself, or by a signal that was no request to stop."""
        ending = self.deeds.ending(rank)
        failed = ending is not None and (ending.code != 0 or self._withholds(rank))
        sent = [one.at for one in self.stage.sent if one.rank in (rank, None)]
        return min([*sent, *([ending.at] if ending and failed else [])], default=None)

    def _was_alone(self, rank: int, moments: dict[int, float]) -> bool:
        """Whether ``rank`` failed clearly before anything else could have stopped it."""
        if rank not in moments or self.stage.sent:
            return False
        grace = float(self.plan.options["failure_grace"])
        others = [at + grace for other, at in moments.items() if other != rank]
        told = min([*others, *([] if self.stage.stop_at is None else [self.stage.stop_at])], default=None)
        return told is None or moments[rank] < told - MARGIN

    # What came home

    def values(self) -> Iterator[str]:
        """Values are those that the ranks returned; none is missing of a rank that ended well."""
        values = self.result.return_values
        if self.plan.home == "program":
            expected = {} if self.result.failures else dict.fromkeys(range(len(self.plan.ranks)))
            if values != expected:
                yield f"return values {values}; expected {expected}"
            return
        for rank, value in values.items():
            if value != self.plan.ranks[rank].value(rank):
                yield f"rank {rank} returned something else: {str(value)[:80]}"
        missing = {rank for rank, code in self.codes.items() if code == 0} - set(values) - set(self.result.failures)
        if missing:
            yield f"no value of the ranks {sorted(missing)}"

    def messages(self) -> Iterator[str]:
        """What a rank recorded is in its failure, and a failure that says nothing tells the exit code."""
        for rank, failure in self.result.failures.items():
            plan, ending = self.plan.ranks[rank], self.deeds.ending(rank)
            if not failure.reason or not failure.message:
                yield f"rank {rank} has no reason or message; {self._about(rank)}"
            recorded = plan.how == "record" or (plan.how == "raise" and self.plan.home != "program")
            told = recorded and ending is not None and not failure.collateral and not self.stage.sent
            if told and not plan.reports and self._has_error_file and "chaos of rank" not in str(failure.message):
                yield f"the exception of rank {rank} was lost; {self._about(rank)}"

    @property
    def _has_error_file(self) -> bool:
        return self.plan.logs.directory != "none"

    # What else is to be seen

    def records(self) -> Iterator[str]:
        """The rest of the result, and the snapshot at the end."""
        if self.result.lost_log_bytes:
            yield f"lost log bytes: {self.result.lost_log_bytes}"
        states = {rank: one.state for rank, one in self.stage.states.items()}
        if any(states.get(rank) is not RankState.EXITED for rank in self.codes):
            yield f"at the end the ranks are {states}"
        if any(one.exitcode != self.codes.get(rank) for rank, one in self.stage.states.items()):
            yield f"the snapshot has other exit codes: {self.stage.states}"

    def detached(self) -> Iterator[str]:
        """Who was left on purpose is listed."""
        listed = {(rank, pid) for rank, pids in self.result.detached.items() for pid in pids}
        expected = set() if self.stage.containment == "group" else self.stage.outlived
        if not listed <= self.stage.outlived or (listed != expected and not self.stage.may_lose):
            yield f"detached {sorted(listed)}; there were {sorted(expected)}"

    def spectator(self, seen: Seen) -> Iterator[str]:
        """Somebody who stayed has seen every event, in order."""
        if seen.what != "events" or not seen.whole:
            return
        started = [event.rank for event in seen.items if isinstance(event, RankStarted)]
        exited = [(event.rank, event.exitcode) for event in seen.items if isinstance(event, RankExited)]
        finished = [event.result for event in seen.items if isinstance(event, RunFinished)]
        if sorted(exited) != sorted(self.codes.items()) or sorted(started) != sorted(self.codes):
            yield f"events {started} and {exited}; exit codes {self.codes}"
        if finished != [self.result] or not isinstance(seen.items[-1], RunFinished):
            yield f"the last event is {seen.items[-1]}, with {len(finished)} results"

    def _about(self, rank: int) -> str:
        stop_at, sent = self.stage.stop_at, self.stage.sent
        facts = [f"ending: {self.deeds.ending(rank)}", f"stop asked at {stop_at}", f"sent: {sent}"]
        failure = self.result.failures.get(rank)
        if failure is not None:
            facts.insert(0, f"failure: {failure.reason[:200]}, collateral: {failure.collateral}")
        return "; ".join(facts)


def _deaths(signals: set[int]) -> set[int]:
    """The exit codes that these signals may bring about."""
    deaths = {-sig for sig in signals}
    return deaths | _INTERRUPTED if signal.SIGINT in signals else deaths
