"""The gang: facts in, actions out. Every race is a list of facts here."""

from __future__ import annotations

from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from aelastic.decide.gang import Action, End, Finish, Gang, Signal
from aelastic.decide.ladder import Step


def gang(nprocs: int, *, started: int | None = None, failure_grace: float = 0.0) -> Gang:
    """A gang of ``nprocs`` ranks, of which the first ``started`` (None: all) have started."""
    made = Gang(nprocs, death_sig=SIGTERM, shutdown_timeout=30.0, failure_grace=failure_grace)
    for rank in range(nprocs if started is None else started):
        made.started(rank)
    return made


def end(one: Gang, rank: int, exitcode: int, at: float) -> list[Action]:
    """An end is told, and the clock is looked at, as the conductor does after every fact."""
    return one.exited(rank, exitcode, at) + one.deadline(at)


def signals(sig: int, *ranks: int) -> list[Action]:
    return [Signal(rank, sig) for rank in ranks]


DONE: list[Action] = [Finish()]
NOTHING: list[Action] = []


# Success


def test_all_ranks_succeed() -> None:
    one = gang(3)
    assert [end(one, rank, 0, 10.0) for rank in (2, 0, 1)] == [NOTHING, NOTHING, DONE]
    assert one.finished
    assert one.first_failure is None
    assert one.ends == dict.fromkeys(range(3), End(0, 10.0, collateral=False, failed=False))


def test_ranks_that_end_while_others_start_do_not_finish_the_gang() -> None:
    one = gang(2, started=1)
    assert end(one, 0, 0, 10.0) == NOTHING
    one.started(1)
    assert end(one, 1, 0, 11.0) == DONE


def test_nothing_is_due_while_all_is_well() -> None:
    one = gang(2)
    assert one.next_deadline is None
    assert one.deadline(1e9) == NOTHING


# Failure


@pytest.mark.parametrize("exitcode", [1, 255, -9, -15])
def test_the_first_failure_stops_the_others(exitcode: int) -> None:
    one = gang(3)
    assert end(one, 1, exitcode, 10.0) == signals(SIGTERM, 0, 2)
    assert one.first_failure == 1
    assert end(one, 0, -15, 10.1) == NOTHING
    assert end(one, 2, -15, 10.2) == DONE


def test_a_gang_of_one_is_over_with_its_rank() -> None:
    assert gang(1).exited(0, 7, 10.0) == DONE


def test_ranks_that_have_ended_are_not_signalled() -> None:
    one = gang(3)
    end(one, 0, 0, 9.0)
    assert end(one, 1, 1, 10.0) == signals(SIGTERM, 2)


def test_what_was_told_to_stop_is_collateral_whatever_its_exit_code() -> None:
    one = gang(4)
    end(one, 0, 1, 10.0)
    for rank, exitcode in ((1, -15), (2, 3), (3, 0)):
        end(one, rank, exitcode, 11.0)
    assert [one.ends[rank].collateral for rank in range(4)] == [False, True, True, True]
    assert [one.ends[rank].is_cause for rank in range(4)] == [True, False, False, False]


def test_t5_the_first_failure_is_the_first_stamp_not_the_first_to_be_told() -> None:
    one = gang(3)
    end(one, 2, 1, 10.3)
    end(one, 0, 1, 10.2)
    end(one, 1, 1, 10.1)
    assert one.first_failure == 1
    assert not any(end.collateral for end in one.ends.values())


def test_failures_of_one_moment_are_ordered_as_told() -> None:
    one = gang(2, failure_grace=1.0)
    end(one, 1, 1, 10.0)
    end(one, 0, 1, 10.0)
    assert one.first_failure == 1


def test_a_failure_told_late_may_be_the_cause_of_a_run_that_was_stopped() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    end(one, 0, 1, 9.9)
    assert one.first_failure == 0


def test_a_run_that_was_stopped_has_no_first_failure() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    end(one, 0, -15, 10.1)
    end(one, 1, -15, 10.1)
    assert one.first_failure is None


# The grace after a failure


def test_without_a_grace_the_stop_comes_at_once() -> None:
    one = Gang(2, death_sig=SIGINT, shutdown_timeout=1.0)
    one.started(0)
    one.started(1)
    assert end(one, 0, 1, 10.0) == signals(SIGINT, 1)


def test_peers_have_the_grace_to_fail_by_themselves() -> None:
    one = gang(3, failure_grace=2.0)
    assert end(one, 0, 1, 10.0) == NOTHING
    assert one.next_deadline == 12.0
    assert end(one, 1, 1, 11.0) == NOTHING
    assert one.deadline(11.999) == NOTHING
    assert one.deadline(12.0) == signals(SIGTERM, 2)
    assert end(one, 2, -15, 12.1) == DONE
    assert [rank for rank, end in one.ends.items() if end.is_cause] == [0, 1]


def test_the_grace_ends_when_nobody_is_left() -> None:
    one = gang(2, failure_grace=2.0)
    end(one, 0, 1, 10.0)
    assert end(one, 1, 0, 10.5) == DONE
    assert one.next_deadline is None


def test_the_grace_counts_from_the_first_failure_alone() -> None:
    one = gang(3, failure_grace=2.0)
    end(one, 0, 1, 10.0)
    end(one, 1, 1, 11.5)
    assert one.next_deadline == 12.0


def test_the_grace_counts_from_the_earliest_stamp_even_if_it_is_told_late() -> None:
    one = gang(3, failure_grace=2.0)
    end(one, 0, 1, 10.0)
    end(one, 1, 1, 9.0)
    assert one.next_deadline == 11.0


def test_an_end_told_after_the_grace_ends_it() -> None:
    one = gang(3, failure_grace=2.0)
    end(one, 0, 1, 10.0)
    assert end(one, 1, 0, 12.5) == signals(SIGTERM, 2)


def test_a_request_does_not_wait_for_the_grace() -> None:
    one = gang(2, failure_grace=20.0)
    end(one, 0, 1, 10.0)
    assert one.stop_asked(11.0) == signals(SIGTERM, 1)
    assert one.next_deadline == 41.0


def test_a_success_starts_no_grace() -> None:
    one = gang(2, failure_grace=2.0)
    end(one, 0, 0, 10.0)
    assert one.next_deadline is None


# A rank that lives, and hangs


def test_a_rank_that_hangs_is_told_to_end_after_a_pause_and_the_others_with_it() -> None:
    one = gang(3)
    assert one.hung(1, "stuck", 10.0, 1.0) == NOTHING
    assert one.next_deadline == 11.0
    assert one.deadline(10.9) == NOTHING
    assert one.deadline(11.0) == [*signals(SIGTERM, 1), *signals(SIGTERM, 0, 2)]
    for rank in (0, 1, 2):
        end(one, rank, -15, 11.1)
    assert [one.ends[rank].collateral for rank in range(3)] == [True, False, True]
    assert one.first_failure == 1


def test_the_grace_after_a_hang_is_for_the_others() -> None:
    one = gang(2, failure_grace=5.0)
    one.hung(0, "stuck", 10.0, 1.0)
    assert one.deadline(11.0) == signals(SIGTERM, 0)
    assert one.next_deadline == 16.0
    assert end(one, 0, -15, 11.5) == NOTHING
    assert one.deadline(16.0) == signals(SIGTERM, 1)


def test_a_hang_comes_before_what_follows_from_it() -> None:
    one = gang(2, failure_grace=5.0)
    one.hung(0, "stuck", 10.0, 1.0)
    end(one, 1, 1, 10.5)
    end(one, 0, -15, 11.0)
    assert one.first_failure == 0
    assert (one.ends[0].at, one.ends[0].failed_at) == (11.0, 10.0)
    assert one.hangs[0].reason == "stuck"


@pytest.mark.parametrize("exitcode", [0, -6, 3])
def test_a_rank_that_hung_has_failed_however_it_ends(exitcode: int) -> None:
    one = gang(1)
    one.hung(0, "stuck", 10.0, 1.0)
    assert end(one, 0, exitcode, 10.1) == DONE
    assert one.ends[0].is_cause


def test_a_hung_rank_that_ignores_everything_is_given_up() -> None:
    one = gang(1)
    one.hung(0, "stuck", 10.0, 1.0)
    assert one.deadline(11.0) == signals(SIGTERM, 0)
    assert one.deadline(41.0) == signals(SIGKILL, 0)
    assert one.deadline(46.0) == DONE
    assert one.abandoned == [0]


def test_a_hang_that_comes_too_late_changes_nothing() -> None:
    one = gang(3)
    end(one, 0, 0, 9.0)
    one.hung(0, "stuck", 10.0, 1.0)
    one.hung(1, "stuck", 10.0, 1.0)
    one.hung(1, "stuck", 10.5, 1.0)
    assert one.next_deadline == 11.0
    one.stop_asked(10.6)
    one.hung(2, "stuck", 10.7, 1.0)
    end(one, 1, -15, 10.8)
    end(one, 2, -15, 10.8)
    assert [one.ends[rank].is_cause for rank in range(3)] == [False, True, False]


def test_a_hang_while_others_start_is_handled_at_once_and_ends_the_run_later() -> None:
    one = gang(2, started=1)
    one.hung(0, "stuck", 10.0, 1.0)
    assert one.deadline(11.0) == signals(SIGTERM, 0)
    one.started(1)
    assert one.deadline(11.1) == signals(SIGTERM, 1)


# The way down


def test_the_whole_ladder() -> None:
    one = gang(1)
    assert one.stop_asked(10.0) == signals(SIGTERM, 0)
    assert one.next_deadline == 40.0
    assert one.deadline(39.9) == NOTHING
    assert one.deadline(40.0) == signals(SIGKILL, 0)
    assert one.next_deadline == 45.0
    assert one.deadline(45.0) == DONE
    assert one.abandoned == [0]
    assert one.ends == {}


def test_who_ends_in_time_is_not_killed() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    end(one, 0, -15, 10.1)
    assert one.deadline(40.0) == signals(SIGKILL, 1)


def test_a_deaf_peer_eats_nobodys_grace() -> None:
    one = gang(3)
    one.stop_asked(10.0)
    end(one, 0, 0, 25.0)
    end(one, 1, 0, 39.9)
    assert one.deadline(40.0) == signals(SIGKILL, 2)
    assert [one.ends[rank].exitcode for rank in (0, 1)] == [0, 0]


def test_an_abandoned_rank_does_not_hold_up_the_others() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    one.deadline(40.0)
    end(one, 1, -9, 41.0)
    assert one.deadline(45.0) == DONE
    assert one.abandoned == [0]


# Requests


def test_a_request_has_its_own_signal_and_grace() -> None:
    one = gang(2)
    assert one.stop_asked(10.0, SIGINT, 5.0) == signals(SIGINT, 0, 1)
    assert one.next_deadline == 15.0


def test_a_grace_of_nothing_is_a_kill_at_the_next_look() -> None:
    one = gang(1)
    one.stop_asked(10.0, timeout=0.0)
    assert one.next_deadline == 10.0
    assert one.deadline(10.0) == signals(SIGKILL, 0)


def test_the_same_request_again_sends_nothing_and_prolongs_nothing() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    assert one.stop_asked(20.0) == NOTHING
    assert one.next_deadline == 40.0


def test_another_signal_and_a_shorter_grace_are_heeded() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    assert one.stop_asked(11.0, SIGINT, 5.0) == signals(SIGINT, 0, 1)
    assert one.next_deadline == 16.0


def test_sigkill_skips_the_rest_of_the_grace() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    end(one, 0, -15, 10.5)
    assert one.stop_asked(11.0, SIGKILL) == signals(SIGKILL, 1)
    assert one.stop_asked(11.5, SIGKILL) == NOTHING


def test_a_failure_while_stopping_asks_for_nothing_more() -> None:
    one = gang(3)
    one.stop_asked(10.0)
    assert end(one, 0, 1, 11.0) == NOTHING
    assert one.next_deadline == 40.0


# Starting


def test_a_stop_before_any_start_is_the_end() -> None:
    one = gang(2, started=0)
    assert one.stop_asked(10.0) == DONE


def test_ranks_that_never_started_are_neither_signalled_nor_waited_for() -> None:
    one = gang(3, started=1)
    assert one.stop_asked(10.0) == signals(SIGTERM, 0)
    assert end(one, 0, -15, 10.1) == DONE
    assert one.step(1) is None


def test_a_failure_while_starting_waits_for_the_last_start() -> None:
    one = gang(3, started=2)
    assert end(one, 0, 1, 10.0) == NOTHING
    before = one.next_deadline
    one.started(2)
    assert (before, one.next_deadline) == (None, 10.0)
    assert one.deadline(11.0) == signals(SIGTERM, 1, 2)


def test_a_stop_while_starting_stops_the_start() -> None:
    one = gang(3, started=2)
    assert one.stop_asked(10.0) == signals(SIGTERM, 0, 1)
    with pytest.raises(ValueError, match="rank 2 may not start"):
        one.started(2)


def test_in_the_grace_of_a_failure_ranks_still_start() -> None:
    one = gang(2, started=1, failure_grace=5.0)
    assert end(one, 0, 1, 10.0) == NOTHING
    one.started(1)
    assert end(one, 1, 1, 11.0) == DONE


def test_a_rank_starts_once() -> None:
    one = gang(2, started=1)
    with pytest.raises(ValueError, match="rank 0 may not start"):
        one.started(0)


# After the end


def test_nothing_follows_the_finish() -> None:
    one = gang(2)
    one.stop_asked(10.0)
    one.deadline(40.0)
    assert one.deadline(45.0) == DONE
    assert end(one, 0, 0, 46.0) == NOTHING
    assert one.stop_asked(47.0, SIGINT) == NOTHING
    assert one.deadline(1e9) == NOTHING
    assert (one.ends, one.abandoned) == ({}, [0, 1])


def test_a_second_end_changes_nothing() -> None:
    one = gang(2)
    end(one, 0, 0, 10.0)
    assert end(one, 0, 1, 11.0) == NOTHING
    assert one.ends[0] == End(0, 10.0, collateral=False, failed=False)
    assert not one.stopping


@pytest.mark.parametrize("failure_grace", [0.0, 5.0])
def test_nothing_is_due_after_the_finish(failure_grace: float) -> None:
    one = gang(1, failure_grace=failure_grace)
    assert end(one, 0, 1, 10.0) == DONE
    assert one.next_deadline is None


# What others ask


def test_the_steps_of_a_rank() -> None:
    one = gang(2, started=1)
    assert [one.step(rank) for rank in (0, 1)] == [Step.RUNNING, None]
    one.stop_asked(10.0)
    assert one.step(0) is Step.TERMINATING
    one.deadline(40.0)
    assert one.step(0) is Step.KILLING
    end(one, 0, -9, 40.1)
    assert one.step(0) is Step.GONE
