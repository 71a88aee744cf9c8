"""The gang under any history: what must hold whatever the ranks, the user and the clock do."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aelastic.decide.gang import Action, Finish, Gang, Signal
from aelastic.decide.ladder import Step

_SECONDS = st.floats(min_value=0.0, max_value=100.0, allow_nan=False)
_EXITCODES = st.sampled_from([0, 0, 1, 3, -6, -9, -15])


class GangMachine(RuleBasedStateMachine):
    """Drives a gang as a conductor would, and keeps its own books about what it saw."""

    @initialize(nprocs=st.integers(1, 5), shutdown_timeout=_SECONDS, failure_grace=st.just(0.0) | _SECONDS)
    def begin(self, nprocs: int, shutdown_timeout: float, failure_grace: float) -> None:
        self.gang = Gang(nprocs, death_sig=SIGTERM, shutdown_timeout=shutdown_timeout, failure_grace=failure_grace)
        self.nprocs = nprocs
        self.shutdown_timeout = shutdown_timeout
        self.now = 1000.0
        self.started: set[int] = set()
        self.ended: dict[int, tuple[int, float, bool]] = {}  # exit code, stamp, whether it was told to stop before
        self.told: dict[int, float] = {}  # rank to the time of its first signal
        self.hung: dict[int, float] = {}
        self.may_kill_hung_at: dict[int, float] = {}
        self.may_kill_at: float | None = None
        self.stop_stamp: float | None = None
        self.finishes = 0

    # What the world does

    @precondition(lambda self: len(self.started) < self.nprocs and not self.gang.stopping and not self.finishes)
    @rule()
    def a_rank_starts(self) -> None:
        rank = len(self.started)
        self.gang.started(rank)
        self.started.add(rank)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), exitcode=_EXITCODES, late=st.just(0.0) | st.floats(0.0, 2.0))
    def a_rank_ends(self, data: st.DataObject, exitcode: int, late: float) -> None:
        """Its end is told ``late`` seconds after it was stamped."""
        rank = data.draw(st.sampled_from(self.alive()))
        was_over = self.gang.finished
        at = self.now - late
        stopping_before = self.gang.stopping
        actions = self.gang.exited(rank, exitcode, at)
        if was_over:
            assert not actions
            self.ended[rank] = (exitcode, at, True)
            return
        asked = self.stop_stamp is not None and at >= self.stop_stamp
        self.ended[rank] = (exitcode, at, asked and rank not in self.hung)
        if self.gang.stopping and not stopping_before:
            self.note_stop(at, self.shutdown_timeout)
        self.perform(actions)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), pause=_SECONDS)
    def a_rank_hangs(self, data: st.DataObject, pause: float) -> None:
        rank = data.draw(st.sampled_from(self.alive()))
        if not self.gang.stopping and self.gang.step(rank) is not Step.ABANDONED:
            self.hung.setdefault(rank, self.now)
        assert self.gang.hung(rank, "stuck", self.now, pause) == []
        self.look_at(self.now)

    @rule(sig=st.sampled_from([None, SIGTERM, SIGINT, SIGKILL]), timeout=st.none() | _SECONDS)
    def a_stop_is_asked(self, sig: int | None, timeout: float | None) -> None:
        grace = 0.0 if sig == SIGKILL else self.shutdown_timeout if timeout is None else timeout
        self.note_stop(self.now, grace)
        self.perform(self.gang.stop_asked(self.now, sig, timeout))

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.look_at(self.now + seconds)

    @precondition(lambda self: self.gang.next_deadline is not None)
    @rule()
    def the_deadline_comes(self) -> None:
        due = self.gang.next_deadline
        assert due is not None
        self.look_at(max(self.now, due))

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), exitcode=_EXITCODES)
    def an_end_is_told_twice(self, data: st.DataObject, exitcode: int) -> None:
        rank = data.draw(st.sampled_from(sorted(self.ended)))
        before = dict(self.gang.ends)
        assert self.gang.exited(rank, exitcode, self.now) == []
        assert self.gang.ends == before

    # What must hold

    @invariant()
    def nobody_lives_after_the_finish(self) -> None:
        if self.gang.finished:
            assert set(self.gang.ends) | set(self.gang.abandoned) == self.started
            assert not set(self.gang.ends) & set(self.gang.abandoned)

    @invariant()
    def every_start_has_at_most_one_end_and_no_end_is_lost(self) -> None:
        assert set(self.gang.ends) <= set(self.ended)
        for rank, end in self.gang.ends.items():
            assert (end.exitcode, end.at, end.collateral) == self.ended[rank]
        if not self.gang.finished:
            assert set(self.gang.ends) == set(self.ended)

    @invariant()
    def the_finish_comes_once(self) -> None:
        assert self.finishes == int(self.gang.finished)

    @invariant()
    def the_first_failure_is_the_earliest_cause(self) -> None:
        ended = [(rank, end) for rank, end in self.gang.ends.items() if not end.collateral]
        causes = [self.hung.get(rank, end.at) for rank, end in ended if end.exitcode != 0 or rank in self.hung]
        first = self.gang.first_failure
        assert (first is None) == (not causes)
        if first is not None:
            assert self.hung.get(first, self.gang.ends[first].at) == min(causes)

    @invariant()
    def a_hang_is_a_failure_and_no_collateral(self) -> None:
        assert all(self.gang.ends[rank].is_cause for rank in self.hung if rank in self.gang.ends)

    @invariant()
    def only_who_was_told_to_stop_is_collateral(self) -> None:
        assert all(rank in self.told for rank, end in self.gang.ends.items() if end.collateral)

    @invariant()
    def once_stopping_everybody_alive_was_told(self) -> None:
        if self.gang.stopping and not self.gang.finished:
            assert set(self.alive()) <= set(self.told)

    def teardown(self) -> None:
        """Whatever has happened: after a failure, or once it is asked to stop, time alone ends it."""
        while len(self.started) < self.nprocs and not (self.gang.stopping or self.finishes):
            self.a_rank_starts()  # a failure stops nobody before
        if self.gang.first_failure is None and not self.hung:
            self.a_stop_is_asked(None, None)
        for _ in range(3 * (1 + len(self.hung))):  # those that hang have times of their own
            due = self.gang.next_deadline
            if due is not None:
                self.look_at(max(self.now, due))
        assert self.gang.finished
        assert self.gang.next_deadline is None

    # The books

    def alive(self) -> list[int]:
        return sorted(self.started - set(self.ended))

    def note_stop(self, at: float, grace: float) -> None:
        self.stop_stamp = at if self.stop_stamp is None else self.stop_stamp
        self.may_kill_at = at + grace if self.may_kill_at is None else min(self.may_kill_at, at + grace)

    def look_at(self, now: float) -> None:
        self.now = now
        stopping_before = self.gang.stopping
        actions = self.gang.deadline(now)
        if self.gang.stopping and not stopping_before:
            self.note_stop(now, self.shutdown_timeout)
        self.perform(actions)
        due = self.gang.next_deadline
        # A grace of nothing is due at once: it is the next look that kills.
        assert due is None or due > now or (due == now and now in (self.may_kill_at, *self.may_kill_hung_at.values()))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self.finishes, "nothing follows a finish"
            if isinstance(action, Finish):
                self.finishes += 1
            else:
                self.signal(action)

    def signal(self, action: Signal) -> None:
        assert action.rank in self.alive()
        assert self.gang.step(action.rank) in (Step.TERMINATING, Step.KILLING)
        if action.rank in self.hung and action.rank not in self.told:
            self.may_kill_hung_at[action.rank] = self.now + self.shutdown_timeout
        if action.signal == SIGKILL:
            graces = {self.may_kill_at, self.may_kill_hung_at.get(action.rank)} - {None}
            assert graces
            assert self.now >= min(at for at in graces if at is not None), "killed within the grace, not on request"
        self.told.setdefault(action.rank, self.now)


TestGangMachine = GangMachine.TestCase
