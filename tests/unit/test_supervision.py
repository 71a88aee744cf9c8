"""Which units run: facts in, actions out. Every race is a list of facts here."""

from __future__ import annotations

from typing import Any

import pytest

from aelastic.decide.restarts import End, Outcome, RestartPolicy
from aelastic.decide.supervision import Action, Finish, GiveUp, Restarting, Start, Stop, Strategy, Supervision
from tests.helpers.worlds import World

BACKOFF = RestartPolicy(backoff=10, jitter=0, max_restarts=3)
AT_ONCE = RestartPolicy(backoff=0, max_restarts=None)
FAILED = End(Outcome.FAILED, 1.0, "rank 0 exited with code 1")
SUCCEEDED = End(Outcome.SUCCEEDED, 1.0, "rank 0 exited with code 0")
NOT_STARTED = End(Outcome.NOT_STARTED, 0.0, "could not be started: no such program")
STOPPED = End(Outcome.STOPPED, 1.0, "it was told to stop")
ABANDONED = End(Outcome.ABANDONED, 1.0, "rank 0 (pid 7) did not end even after SIGKILL")
NOTHING: list[Action] = []
DONE: list[Action] = [Finish()]


def supervision(units: int, strategy: Strategy = "one_for_one", policy: RestartPolicy = BACKOFF) -> Supervision:
    """A supervision that has not begun."""
    return Supervision(units, strategy, policy, lambda: 0.5)


def running(units: int, strategy: Strategy = "one_for_one", policy: RestartPolicy = BACKOFF) -> Supervision:
    """A supervision whose units all run, since time 0."""
    one = supervision(units, strategy, policy)
    one.begin(0.0)
    for unit in range(units):
        one.started(unit, 0, 0.0)
    return one


def starts(*units: int, number: int = 0) -> list[Action]:
    return [Start(unit, number) for unit in units]


def stops(*units: int, number: int = 0) -> list[Action]:
    return [Stop(unit, number) for unit in units]


def only(kind: type[Any], actions: list[Action]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


# Starting


def test_units_start_a_few_at_a_time() -> None:
    one = supervision(6)
    assert one.begin(0.0) == starts(0, 1, 2, 3)
    assert one.started(2, 0, 0.0) == starts(4)
    assert one.ended(0, 0, 0.0, SUCCEEDED) == starts(5)
    assert not one.all_settled
    assert [one.started(unit, 0, 0.0) for unit in (1, 3, 4, 5)] == [NOTHING] * 4
    assert one.all_settled


def test_rest_for_one_starts_in_order() -> None:
    one = supervision(3, "rest_for_one")
    assert one.begin(0.0) == starts(0)
    assert one.started(0, 0, 0.0) == starts(1)
    assert one.started(1, 0, 0.0) == starts(2)


def test_one_for_all_is_one_unit() -> None:
    one = supervision(1, "one_for_all")
    assert one.begin(0.0) == starts(0)
    assert one.units == [0]


# Ending


def test_when_all_are_done_it_is_over() -> None:
    one = running(2)
    assert one.ended(1, 0, 1.0, SUCCEEDED) == NOTHING
    assert one.ended(0, 0, 1.0, SUCCEEDED) == DONE
    assert one.finished
    assert one.deadline(1e9) == NOTHING


def test_what_failed_starts_again_after_its_back_off() -> None:
    one = running(2)
    assert one.ended(1, 0, 5.0, FAILED) == [Restarting(1, 1, 10.0, FAILED.reason)]
    assert one.next_deadline == 15.0
    assert one.is_waiting(1)
    assert one.deadline(14.9) == NOTHING
    assert one.deadline(15.0) == starts(1, number=1)
    assert one.next_deadline is None


def test_the_end_of_an_earlier_instance_changes_nothing() -> None:
    one = running(1)
    one.ended(0, 0, 5.0, FAILED)
    one.deadline(15.0)
    assert one.ended(0, 0, 15.0, FAILED) == NOTHING
    assert one.started(0, 0, 15.0) == NOTHING
    assert one.ended(0, 1, 16.0, SUCCEEDED) == DONE


def test_an_end_that_is_told_twice_counts_once() -> None:
    one = running(1)
    one.ended(0, 0, 5.0, FAILED)
    assert one.ended(0, 0, 5.0, FAILED) == NOTHING
    assert one.next_deadline == 15.0


def test_what_nobody_restarts_is_left_alone() -> None:
    one = running(2, policy=RestartPolicy("never"))
    assert one.ended(0, 0, 1.0, FAILED) == NOTHING
    assert one.ended(1, 0, 1.0, SUCCEEDED) == DONE
    assert one.gave_up == ""


# Giving up


def test_giving_up_stops_the_others() -> None:
    one = running(3, policy=RestartPolicy(max_restarts=0))
    reason = "rank 0 exited with code 1, and no restart is allowed"
    assert one.ended(1, 0, 1.0, FAILED) == [GiveUp(1, reason), *stops(2, 0)]
    assert one.gave_up == reason
    assert one.ended(0, 0, 2.0, STOPPED) == NOTHING
    assert one.ended(2, 0, 3.0, STOPPED) == DONE


def test_giving_up_ends_the_back_off_of_the_others() -> None:
    one = running(2, policy=RestartPolicy(max_restarts=1, backoff=10))
    one.ended(1, 0, 1.0, FAILED)
    one.ended(0, 0, 1.0, FAILED)
    one.deadline(12.0)
    one.ended(0, 1, 13.0, FAILED)
    assert one.gave_up
    assert one.ended(1, 1, 13.0, STOPPED) == DONE


def test_it_gives_up_once() -> None:
    one = running(2, policy=RestartPolicy(max_restarts=0))
    one.ended(1, 0, 1.0, FAILED)
    assert only(GiveUp, one.ended(0, 0, 1.0, FAILED)) == []


def test_the_budget_is_each_units_own() -> None:
    one = running(2, policy=RestartPolicy(max_restarts=1, backoff=0))
    assert only(Start, one.ended(0, 0, 1.0, FAILED)) == starts(0, number=1)
    assert only(Start, one.ended(1, 0, 1.0, FAILED)) == starts(1, number=1)
    assert only(GiveUp, one.ended(1, 1, 1.0, FAILED))


@pytest.mark.parametrize("before", ["first", "later"])
def test_what_cannot_start_is_given_up_at_once(before: str) -> None:
    one = supervision(1, policy=AT_ONCE)
    one.begin(0.0)
    number = 0
    if before == "later":
        one.started(0, 0, 0.0)
        one.ended(0, 0, 1.0, FAILED)
        number = 1
    assert one.ended(0, number, 2.0, NOT_STARTED) == [GiveUp(0, NOT_STARTED.reason), Finish()]


def test_what_cannot_start_can_be_tried_again() -> None:
    one = supervision(1, policy=RestartPolicy(backoff=10, jitter=0, retry_start=True))
    one.begin(0.0)
    assert one.ended(0, 0, 0.0, NOT_STARTED) == [Restarting(0, 1, 10.0, NOT_STARTED.reason)]
    assert one.all_settled
    assert one.deadline(10.0) == starts(0, number=1)


def test_what_was_abandoned_is_not_started_again() -> None:
    one = running(2, policy=AT_ONCE)
    assert one.ended(0, 0, 1.0, ABANDONED) == [GiveUp(0, ABANDONED.reason), *stops(1)]


def test_a_restart_of_what_was_abandoned_gives_up() -> None:
    one = running(1, policy=AT_ONCE)
    one.restart_asked(0, 1.0)
    assert one.ended(0, 0, 2.0, ABANDONED) == [GiveUp(0, ABANDONED.reason), Finish()]


def test_what_was_abandoned_when_it_was_stopped_harms_nobody_else() -> None:
    one = running(2, policy=AT_ONCE)
    one.stop_asked(0, 1.0)
    assert one.ended(0, 0, 2.0, ABANDONED) == NOTHING
    assert one.is_lost(0)
    assert one.start_asked(0, 3.0) == NOTHING
    assert one.restart_asked(0, 3.0) == NOTHING
    assert one.close_asked(4.0) == stops(1)


def test_what_was_abandoned_at_the_end_is_no_reason_to_give_up() -> None:
    one = running(1)
    one.close_asked(1.0)
    assert one.ended(0, 0, 2.0, ABANDONED) == DONE
    assert one.gave_up == ""


# The end


def test_close_stops_everybody_and_starts_nobody() -> None:
    one = running(3)
    one.ended(1, 0, 1.0, FAILED)
    assert one.close_asked(2.0) == stops(2, 0)
    assert one.next_deadline is None
    assert one.deadline(1e9) == NOTHING
    assert one.ended(0, 0, 3.0, FAILED) == NOTHING
    assert one.ended(2, 0, 3.0, SUCCEEDED) == DONE


def test_close_during_the_start() -> None:
    one = supervision(6)
    one.begin(0.0)
    one.started(0, 0, 0.0)
    assert one.close_asked(0.0) == stops(4, 3, 2, 1, 0)
    assert one.started(1, 0, 0.0) == NOTHING
    assert [one.ended(unit, 0, 0.0, STOPPED) for unit in range(5)] == [*[NOTHING] * 4, DONE]


def test_close_before_the_start() -> None:
    one = supervision(2)
    assert one.close_asked(0.0) == DONE
    assert one.begin(0.0) == NOTHING


def test_close_in_a_back_off_is_the_end() -> None:
    one = running(1)
    one.ended(0, 0, 1.0, FAILED)
    assert one.close_asked(2.0) == DONE


def test_asking_again_tells_everybody_again() -> None:
    one = running(2)
    one.close_asked(1.0)
    assert one.close_asked(2.0) == stops(0, 1)


def test_the_end_wins_over_every_request() -> None:
    one = running(2)
    one.restart_asked(0, 1.0)
    one.close_asked(1.0)
    assert [one.restart_asked(None, 2.0), one.start_asked(0, 2.0), one.scale_asked(5, 2.0)] == [NOTHING] * 3
    one.ended(0, 0, 3.0, STOPPED)
    assert one.ended(1, 0, 3.0, STOPPED) == DONE


def test_rest_for_one_ends_in_reverse_order() -> None:
    one = running(3, "rest_for_one")
    assert one.close_asked(1.0) == stops(2)
    assert one.ended(2, 0, 2.0, STOPPED) == stops(1)
    assert one.ended(1, 0, 3.0, STOPPED) == stops(0)
    assert one.ended(0, 0, 4.0, STOPPED) == DONE


def test_haste_stops_everybody_at_once() -> None:
    one = running(3, "rest_for_one")
    one.close_asked(1.0)
    assert sorted(action.unit for action in only(Stop, one.close_asked(1.0, at_once=True))) == [0, 1, 2]


# Rest for one


def test_rest_for_one_takes_those_after_it_along() -> None:
    one = running(4, "rest_for_one")
    reason = FAILED.reason
    assert one.ended(1, 0, 5.0, FAILED) == [
        Restarting(1, 1, 10.0, reason),
        Restarting(2, 1, 10.0, reason),
        Restarting(3, 1, 10.0, reason),
        Stop(3, 0),
    ]
    assert one.ended(3, 0, 6.0, STOPPED) == stops(2)
    assert one.deadline(15.0) == NOTHING  # one that must go is still there
    assert one.ended(2, 0, 20.0, STOPPED) == starts(1, number=1)
    assert one.started(1, 1, 20.0) == starts(2, number=1)
    assert one.started(2, 1, 20.0) == starts(3, number=1)


def test_rest_for_one_starts_again_also_what_was_done() -> None:
    one = running(3, "rest_for_one", AT_ONCE)
    one.ended(2, 0, 1.0, SUCCEEDED)
    assert only(Start, one.ended(1, 0, 2.0, FAILED)) == starts(1, number=1)
    assert one.started(1, 1, 2.0) == starts(2, number=1)


def test_rest_for_one_leaves_those_before_alone() -> None:
    one = running(3, "rest_for_one", AT_ONCE)
    actions = one.ended(2, 0, 1.0, FAILED)
    assert only(Stop, actions) == []
    assert only(Start, actions) == starts(2, number=1)


def test_rest_for_one_an_earlier_failure_while_the_later_wait() -> None:
    one = running(3, "rest_for_one")
    one.ended(1, 0, 1.0, FAILED)
    one.ended(2, 0, 1.0, STOPPED)
    assert only(Restarting, one.ended(0, 0, 2.0, FAILED)) == [Restarting(0, 1, 10.0, FAILED.reason)]
    assert one.deadline(11.0) == NOTHING
    assert one.deadline(12.0) == starts(0, number=1)
    assert one.next_deadline is None
    assert one.started(0, 1, 12.0) == starts(1, number=1)


def test_rest_for_one_what_waits_for_another_back_off_is_settled() -> None:
    one = supervision(2, "rest_for_one", RestartPolicy(retry_start=True))
    one.begin(0.0)
    assert not one.all_settled
    one.ended(0, 0, 0.0, NOT_STARTED)
    assert one.all_settled


# Requests about one unit


def test_restart_stops_and_starts_without_the_budget() -> None:
    one = running(2, policy=RestartPolicy(max_restarts=0))
    assert one.restart_asked(0, 1.0) == [Restarting(0, 1, 0.0, "a restart was asked for"), *stops(0)]
    assert not one.is_settled(0)
    assert one.is_settled(1)
    assert one.ended(0, 0, 2.0, STOPPED) == starts(0, number=1)
    one.started(0, 1, 2.0)
    assert one.is_settled(0)


def test_restart_twice_is_one_restart() -> None:
    one = running(1)
    one.restart_asked(0, 1.0)
    assert one.restart_asked(0, 1.5) == NOTHING
    assert one.ended(0, 0, 2.0, STOPPED) == starts(0, number=1)


def test_restart_of_what_waits_starts_it_now_and_begins_the_back_off_anew() -> None:
    one = running(1)
    one.ended(0, 0, 0.0, FAILED)
    one.deadline(10.0)
    one.started(0, 1, 10.0)
    assert only(Restarting, one.ended(0, 1, 10.0, FAILED))[0].delay == 20.0
    assert only(Start, one.restart_asked(0, 11.0)) == starts(0, number=2)
    assert only(Restarting, one.ended(0, 2, 12.0, FAILED))[0].delay == 10.0


def test_restart_during_the_start() -> None:
    one = supervision(1)
    one.begin(0.0)
    assert only(Stop, one.restart_asked(0, 0.0)) == stops(0)
    assert one.started(0, 0, 0.0) == NOTHING
    assert one.ended(0, 0, 1.0, STOPPED) == starts(0, number=1)


def test_restart_of_all() -> None:
    one = running(2)
    one.ended(1, 0, 1.0, SUCCEEDED)
    actions = one.restart_asked(None, 2.0)
    assert only(Stop, actions) == stops(0)
    assert only(Start, actions) == starts(1, number=1)


def test_restart_takes_dependents_along() -> None:
    one = running(3, "rest_for_one")
    actions = one.restart_asked(1, 1.0)
    assert [(action.unit, action.reason) for action in only(Restarting, actions)] == [
        (1, "a restart was asked for"),
        (2, "rank 1 restarts"),
    ]
    assert only(Stop, actions) == stops(2)


def test_stop_holds_a_unit_until_it_is_started() -> None:
    one = running(2)
    assert one.stop_asked(0, 1.0) == stops(0)
    assert one.ended(0, 0, 2.0, STOPPED) == NOTHING
    assert one.is_settled(0)
    assert one.ended(1, 0, 3.0, SUCCEEDED) == NOTHING  # not over: the other one may be wanted again
    assert one.start_asked(0, 4.0) == starts(0, number=1)


def test_stop_in_a_back_off() -> None:
    one = running(2)
    one.ended(0, 0, 1.0, FAILED)
    assert one.stop_asked(0, 2.0) == NOTHING
    assert one.next_deadline is None
    assert one.deadline(1e9) == NOTHING


def test_stop_then_start_while_it_stops() -> None:
    one = running(1)
    one.stop_asked(0, 1.0)
    assert one.start_asked(0, 1.0) == NOTHING
    assert one.ended(0, 0, 2.0, STOPPED) == starts(0, number=1)


def test_restart_then_stop_while_it_stops() -> None:
    one = running(2)
    one.restart_asked(0, 1.0)
    assert one.stop_asked(0, 1.0) == NOTHING
    assert one.ended(0, 0, 2.0, STOPPED) == NOTHING


def test_what_fails_while_it_is_being_stopped_is_not_restarted() -> None:
    one = running(2)
    one.stop_asked(0, 1.0)
    assert one.ended(0, 0, 1.0, FAILED) == NOTHING
    assert one.next_deadline is None


def test_start_of_what_runs_or_will_run_changes_nothing() -> None:
    one = running(1)
    assert one.start_asked(0, 1.0) == NOTHING
    one.restart_asked(0, 2.0)
    assert one.start_asked(0, 2.0) == NOTHING
    assert one.ended(0, 0, 3.0, STOPPED) == starts(0, number=1)


def test_start_of_what_waits_or_is_done() -> None:
    one = running(3)
    one.ended(0, 0, 1.0, FAILED)
    assert one.start_asked(0, 2.0) == starts(0, number=1)
    one.ended(1, 0, 2.0, SUCCEEDED)
    assert one.start_asked(1, 3.0) == starts(1, number=1)


def test_what_somebody_else_has_stopped_stays_ended() -> None:
    one = running(2)
    assert one.ended(0, 0, 1.0, STOPPED) == NOTHING
    assert one.next_deadline is None


# Scaling


def test_scaling_up_and_down() -> None:
    one = running(2)
    assert one.scale_asked(4, 1.0) == starts(2, 3)
    assert one.units == [0, 1, 2, 3]
    assert one.scale_asked(1, 2.0) == stops(3, 2, 1)
    assert one.units == [0]
    before = one.all_settled
    for unit in (3, 2, 1):
        assert one.ended(unit, 0, 3.0, STOPPED) == NOTHING
    assert (before, one.all_settled) == (False, True)
    assert one.ended(0, 0, 4.0, SUCCEEDED) == DONE


def test_scaling_down_and_up_again_never_has_two() -> None:
    one = running(2)
    one.scale_asked(1, 1.0)
    assert one.scale_asked(2, 1.0) == NOTHING  # the first one of unit 1 is still there
    assert one.ended(1, 0, 2.0, STOPPED) == starts(1, number=1)


def test_scaling_leaves_the_others_alone() -> None:
    one = running(3)
    one.ended(0, 0, 1.0, SUCCEEDED)
    one.stop_asked(1, 1.0)
    assert one.scale_asked(3, 2.0) == NOTHING


def test_what_was_removed_does_not_keep_it_open() -> None:
    one = running(2)
    one.ended(1, 0, 1.0, FAILED)
    one.scale_asked(1, 2.0)
    assert one.next_deadline is None
    assert one.ended(0, 0, 3.0, SUCCEEDED) == DONE


# Replacing


def replacing(units: int = 1, policy: RestartPolicy = BACKOFF) -> Supervision:
    """Unit 0 is being replaced: its instance 0 runs, and instance 1 is complete, but not ready."""
    one = running(units, policy=policy)
    assert one.replace_asked(0, 1.0) == starts(0, number=1)
    assert one.started(0, 1, 1.0) == NOTHING
    return one


def test_a_successor_takes_over_when_it_is_ready() -> None:
    one = replacing()
    assert (one.number(0), one.is_replaced(0), one.is_settled(0)) == (0, False, True)
    assert [one.is_successor(0, number) for number in (0, 1)] == [False, True]
    assert one.ready(0, 1, 2.0) == stops(0)
    assert [one.is_successor(0, number) for number in (0, 1)] == [False, False]
    assert (one.number(0), one.is_replaced(0), one.is_settled(0)) == (1, False, False)
    assert one.ended(0, 0, 3.0, FAILED) == NOTHING  # whatever its exit code: it was told to end
    assert (one.number(0), one.is_replaced(0), one.is_settled(0)) == (1, True, True)
    assert one.next_deadline is None
    assert one.ended(0, 1, 4.0, SUCCEEDED) == DONE


def test_the_patience_with_a_successor_is_passed_on() -> None:
    assert running(1).replace_asked(0, 1.0, 5.0) == [Start(0, 1, ready_within=5.0)]


def test_only_a_successor_takes_over() -> None:
    one = replacing(2)
    assert [one.ready(0, 0, 2.0), one.ready(0, 7, 2.0), one.ready(1, 0, 2.0)] == [NOTHING] * 3
    one.ready(0, 1, 2.0)
    assert one.ready(0, 0, 2.0) == NOTHING  # the old one, late
    assert one.number(0) == 1


def test_readiness_may_be_told_before_the_start() -> None:
    one = running(1)
    one.replace_asked(0, 1.0)
    assert one.ready(0, 1, 1.0) == stops(0)
    assert one.started(0, 1, 1.0) == NOTHING
    one.ended(0, 0, 2.0, STOPPED)
    assert one.is_settled(0)


@pytest.mark.parametrize("end", [FAILED, SUCCEEDED, NOT_STARTED, STOPPED, ABANDONED])
def test_a_successor_that_ends_first_changes_nothing(end: End) -> None:
    one = replacing(policy=RestartPolicy(max_restarts=0))
    assert one.ended(0, 1, 2.0, end) == NOTHING
    assert (one.number(0), one.is_replaced(0), one.gave_up) == (0, True, "")
    assert one.ready(0, 1, 2.0) == NOTHING
    assert one.replace_asked(0, 3.0) == starts(0, number=2)


def test_replacing_twice_is_one_replacement() -> None:
    one = replacing()
    assert one.can_replace(0)
    assert one.replace_asked(0, 1.0) == NOTHING
    one.ready(0, 1, 2.0)
    assert one.replace_asked(0, 2.0) == NOTHING  # the old one is still there
    one.ended(0, 0, 3.0, STOPPED)
    assert one.replace_asked(0, 3.0) == starts(0, number=2)


@pytest.mark.parametrize("state", ["stopped", "stopping", "done", "waits", "restarts", "closing", "lost"])
def test_what_does_not_run_is_not_replaced(state: str) -> None:
    one = running(2)
    if state in ("stopped", "stopping", "lost"):
        one.stop_asked(0, 1.0)
    if state in ("stopped", "lost"):
        one.ended(0, 0, 1.0, ABANDONED if state == "lost" else STOPPED)
    if state in ("done", "waits"):
        one.ended(0, 0, 1.0, SUCCEEDED if state == "done" else FAILED)
    if state == "restarts":
        one.restart_asked(0, 1.0)
    if state == "closing":
        one.close_asked(1.0)
    assert not one.can_replace(0)
    assert one.replace_asked(0, 2.0) == NOTHING
    assert one.is_replaced(0)


def test_an_old_one_that_fails_meanwhile_is_judged_and_its_successor_still_takes_over() -> None:
    one = replacing(2)
    assert one.ended(0, 0, 2.0, FAILED) == [Restarting(0, 2, 10.0, FAILED.reason)]
    assert one.deadline(12.0) == NOTHING  # not beside the successor
    assert not one.is_settled(0)
    assert one.next_deadline is None
    assert one.ready(0, 1, 13.0) == NOTHING
    assert (one.number(0), one.is_replaced(0), one.is_settled(0)) == (1, True, True)


def test_when_both_fail_the_rank_starts_again() -> None:
    one = replacing(2)
    one.ended(0, 0, 2.0, FAILED)
    assert one.ended(0, 1, 5.0, FAILED) == NOTHING
    assert one.next_deadline == 12.0
    assert one.deadline(12.0) == starts(0, number=2)
    late = replacing(2)
    late.ended(0, 0, 2.0, FAILED)
    late.deadline(12.0)
    assert late.ended(0, 1, 15.0, FAILED) == starts(0, number=2)


def test_an_old_one_that_is_done_meanwhile_is_replaced_all_the_same() -> None:
    one = replacing()
    assert one.ended(0, 0, 2.0, SUCCEEDED) == NOTHING  # not over: the successor is there
    one.ready(0, 1, 3.0)
    assert one.ended(0, 1, 4.0, FAILED) == [Restarting(0, 2, 10.0, FAILED.reason)]


def test_a_successor_of_what_is_done_that_fails_is_the_end() -> None:
    one = replacing()
    one.ended(0, 0, 2.0, SUCCEEDED)
    assert one.ended(0, 1, 3.0, FAILED) == DONE


def test_an_old_one_that_is_given_up_takes_its_successor_along() -> None:
    one = replacing(2, RestartPolicy(max_restarts=0))
    actions = one.ended(0, 0, 2.0, FAILED)
    assert only(GiveUp, actions)
    assert sorted((stop.unit, stop.number) for stop in only(Stop, actions)) == [(0, 1), (1, 0)]
    assert one.ready(0, 1, 2.0) == NOTHING
    one.ended(1, 0, 3.0, STOPPED)
    assert one.ended(0, 1, 3.0, STOPPED) == DONE


def test_a_new_one_that_fails_is_started_again_when_the_old_one_is_gone() -> None:
    one = replacing(policy=AT_ONCE)
    one.ready(0, 1, 2.0)
    assert one.ended(0, 1, 3.0, FAILED) == [Restarting(0, 2, 0.0, FAILED.reason)]
    assert one.ended(0, 0, 4.0, STOPPED) == starts(0, number=2)


def test_an_old_one_that_not_even_sigkill_ends_harms_nobody() -> None:
    one = replacing()
    one.ready(0, 1, 2.0)
    assert one.ended(0, 0, 3.0, ABANDONED) == NOTHING
    assert not one.is_lost(0)
    assert one.gave_up == ""


@pytest.mark.parametrize("ready", [False, True])
def test_close_stops_both(ready: bool) -> None:
    one = replacing(2)
    told = only(Stop, one.ready(0, 1, 2.0)) if ready else []
    told += only(Stop, one.close_asked(3.0))
    assert {(stop.unit, stop.number) for stop in told} == {(0, 0), (0, 1), (1, 0)}
    assert one.ready(0, 1, 3.0) == NOTHING
    assert one.replace_asked(1, 3.0) == NOTHING
    one.ended(1, 0, 4.0, STOPPED)
    one.ended(0, 0, 4.0, FAILED)
    assert one.ended(0, 1, 4.0, FAILED) == DONE


def test_asking_for_the_end_again_tells_both_again() -> None:
    one = replacing()
    one.close_asked(2.0)
    assert {stop.number for stop in only(Stop, one.close_asked(3.0, at_once=True))} == {0, 1}


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("request_", ["stop", "scale"])
def test_a_stop_stops_both(request_: str, ready: bool) -> None:
    one = running(2)
    one.replace_asked(1, 1.0)
    told = only(Stop, one.ready(1, 1, 2.0)) if ready else []
    told += only(Stop, one.stop_asked(1, 3.0) if request_ == "stop" else one.scale_asked(1, 3.0))
    assert {(stop.unit, stop.number) for stop in told} == {(1, 0), (1, 1)}
    assert not one.is_settled(1)
    assert one.ready(1, 1, 3.0) == NOTHING
    assert one.ended(1, 1, 4.0, FAILED) == NOTHING
    assert not one.is_settled(1)
    assert one.ended(1, 0, 4.0, FAILED) == NOTHING
    assert one.is_settled(1)
    assert one.next_deadline is None


@pytest.mark.parametrize("first", [0, 1])
def test_a_rank_that_was_removed_comes_back_when_both_are_gone(first: int) -> None:
    one = replacing()
    one.scale_asked(2, 1.0)
    one.started(1, 0, 1.0)
    one.replace_asked(1, 1.0)
    one.scale_asked(1, 2.0)
    assert one.scale_asked(2, 2.0) == NOTHING
    assert one.ended(1, first, 3.0, STOPPED) == NOTHING
    assert one.ended(1, 1 - first, 3.0, STOPPED) == starts(1, number=2)


@pytest.mark.parametrize("first", [0, 1])
def test_a_restart_overtakes_a_replacement(first: int) -> None:
    one = replacing()
    actions = one.restart_asked(0, 2.0)
    assert only(Restarting, actions) == [Restarting(0, 2, 0.0, "a restart was asked for")]
    assert {stop.number for stop in only(Stop, actions)} == {0, 1}
    assert one.ready(0, 1, 2.0) == NOTHING
    assert one.ended(0, first, 3.0, STOPPED) == NOTHING
    assert not one.is_settled(0)
    assert one.ended(0, 1 - first, 3.0, STOPPED) == starts(0, number=2)


def test_a_start_in_a_replacement_changes_nothing() -> None:
    one = replacing()
    assert one.start_asked(0, 2.0) == NOTHING
    one.ended(0, 0, 3.0, FAILED)
    assert one.start_asked(0, 3.0) == NOTHING  # its successor is coming
    one.ready(0, 1, 4.0)
    assert one.is_settled(0)


def test_a_rank_can_be_replaced_while_it_starts() -> None:
    one = supervision(1)
    one.begin(0.0)
    assert one.replace_asked(0, 0.0) == starts(0, number=1)
    assert one.ready(0, 1, 1.0) == stops(0)
    assert one.started(0, 0, 1.0) == NOTHING
    one.ended(0, 0, 2.0, STOPPED)
    assert one.number(0) == 1


def test_a_replacement_uses_no_budget_and_begins_the_back_off_anew() -> None:
    one = running(1, policy=RestartPolicy(max_restarts=3, backoff=10, jitter=0))
    one.ended(0, 0, 1.0, FAILED)
    one.deadline(11.0)
    one.started(0, 1, 11.0)
    one.replace_asked(0, 12.0)
    one.ready(0, 2, 13.0)
    one.ended(0, 1, 14.0, STOPPED)
    assert only(Restarting, one.ended(0, 2, 15.0, FAILED)) == [Restarting(0, 3, 10.0, FAILED.reason)]


# In a world


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one"])
def test_a_storm_of_failures_ends_by_itself(strategy: Strategy) -> None:
    world = World(5, strategy, RestartPolicy(max_restarts=4, backoff=1))
    while not world.finished:
        lives = sorted(world.present.values(), key=lambda life: (life.told, life.running))
        if not lives:
            world.wait_until_due()
        elif lives[0].running or lives[0].told:
            world.end(lives[-1], Outcome.STOPPED if lives[-1].told else Outcome.FAILED)
        else:
            world.complete(lives[0])
        assert len(world.starts) <= 5 * 5 * 5
    assert len(world.gave_up) == 1
