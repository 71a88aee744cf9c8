"""Who is ready, and who hangs: facts in, actions out."""

from __future__ import annotations

from typing import Any

import pytest

from aelastic.decide.notices import Notice
from aelastic.decide.readiness import Action, Hang, Health, HealthPlan, Phase, Ready, plan_health
from aelastic.errors.base import InvalidArgumentError, InvalidRanksError
from aelastic.readiness import LogProbe, Notify, Readiness, TcpProbe

READY, BEAT, STOPPING, TRIGGER = Notice(ready=True), Notice(beat=True), Notice(stopping=True), Notice(triggered=True)
PROBE = TcpProbe(80)
NOTHING: list[Action] = []


def health(readiness: Readiness | None, *, watchdog: float | None = None, ready_timeout: float | None = None) -> Health:
    """That of one rank, started at 100."""
    made = Health(HealthPlan({} if readiness is None else {0: readiness}, ready_timeout, watchdog), [0])
    made.started(0, 100.0)
    return made


def missed(seconds: float) -> list[Action]:
    return [Hang(0, f"missed its watchdog: no heartbeat for {seconds:.1f} s")]


# Ready


def test_without_any_readiness_a_rank_is_ready_when_it_is_started() -> None:
    one = Health(HealthPlan(), range(2))
    assert [one.phase(rank) for rank in (0, 1)] == [Phase.PENDING] * 2
    one.started(0, 100.0)
    assert [one.was_ready(rank) for rank in (0, 1)] == [True, False]
    assert one.phase(0) is Phase.READY
    assert one.next_deadline is None


def test_a_rank_says_that_it_is_ready_once() -> None:
    one = health(Notify())
    assert one.phase(0) is Phase.STARTING
    assert one.heard(0, BEAT, 101.0) == NOTHING
    assert one.heard(0, READY, 102.0) == [Ready(0)]
    assert one.heard(0, READY, 103.0) == NOTHING
    assert one.was_ready(0)


@pytest.mark.parametrize("probe", [PROBE, LogProbe("x")])
def test_where_a_probe_decides_the_ranks_word_does_not(probe: Readiness) -> None:
    one = health(probe, watchdog=3.0)
    assert one.heard(0, READY, 101.0) == NOTHING
    assert one.heard(0, BEAT, 101.0) == NOTHING
    assert one.probed(0, 102.0) == [Ready(0)]
    assert one.probed(0, 103.0) == NOTHING


@pytest.mark.parametrize("sign", [READY, BEAT])
def test_with_a_watchdog_alone_the_first_sign_of_life_is_readiness(sign: Notice) -> None:
    one = health(None, watchdog=3.0)
    assert not one.was_ready(0)
    assert one.heard(0, Notice(status="x"), 101.0) == NOTHING
    assert one.heard(0, sign, 102.0) == [Ready(0)]
    assert one.next_deadline == 105.0


def test_a_rank_that_has_ended_is_not_ready_any_more_and_was() -> None:
    one = health(Notify())
    one.heard(0, READY, 101.0)
    one.ended(0)
    assert one.phase(0) is Phase.ENDED
    assert one.was_ready(0)


def test_the_last_word_of_a_rank_reaches_its_probe_after_its_end() -> None:
    one = health(LogProbe("x"))
    one.ended(0)
    assert one.probed(0, 101.0) == NOTHING
    assert one.was_ready(0)
    assert one.phase(0) is Phase.ENDED


def test_a_rank_that_was_too_late_is_not_ready_after_all() -> None:
    one = health(LogProbe("x"), ready_timeout=5.0)
    one.deadline(105.0)
    assert one.probed(0, 105.5) == NOTHING
    one.ended(0)
    assert one.probed(0, 106.0) == NOTHING
    assert not one.was_ready(0)


# The watchdog


def test_a_watchdog_counts_from_readiness_on() -> None:
    one = health(Notify(), watchdog=3.0)
    assert one.next_deadline is None
    one.heard(0, BEAT, 101.0)
    assert one.next_deadline is None
    one.heard(0, READY, 1000.0)
    assert one.next_deadline == 1003.0


def test_each_heartbeat_puts_it_off() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    one.heard(0, BEAT, 102.0)
    assert one.due(104.9) == []
    assert one.deadline(104.9) == NOTHING
    assert one.due(105.0) == [0]
    assert one.deadline(105.0) == missed(3.0)
    assert one.next_deadline is None


def test_a_status_is_no_heartbeat() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    one.heard(0, Notice(status="x"), 102.0)
    assert one.next_deadline == 103.0


def test_who_hangs_hangs_for_good() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    one.deadline(103.0)
    assert one.heard(0, BEAT, 103.1) == NOTHING
    assert one.heard(0, TRIGGER, 103.1) == NOTHING
    assert (one.phase(0), one.next_deadline) == (Phase.HUNG, None)


def test_a_look_that_comes_far_too_late_gives_the_time_once_more() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    assert one.deadline(160.0) == NOTHING
    assert one.next_deadline == 163.0
    assert one.deadline(220.0) == missed(60.0)


def test_a_heartbeat_earns_the_excuse_anew() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    one.deadline(160.0)
    one.heard(0, BEAT, 161.0)
    assert one.deadline(200.0) == NOTHING


def test_a_rank_that_stops_by_itself_is_not_ready_and_not_watched() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, READY, 100.0)
    one.heard(0, STOPPING, 101.0)
    assert (one.phase(0), one.next_deadline) == (Phase.STOPPING, None)
    assert one.heard(0, READY, 102.0) == NOTHING


def test_a_rank_may_change_its_interval() -> None:
    one = health(Notify(), watchdog=3.0)
    one.heard(0, Notice(watchdog=60.0), 100.0)
    one.heard(0, READY, 100.0)
    assert one.next_deadline == 160.0
    one.heard(0, Notice(watchdog=2.0), 110.0)
    assert one.next_deadline == 112.0


def test_a_rank_cannot_begin_a_watchdog_that_nobody_asked_for() -> None:
    one = health(Notify())
    one.heard(0, READY, 100.0)
    one.heard(0, Notice(watchdog=2.0), 101.0)
    one.heard(0, BEAT, 101.0)
    assert one.next_deadline is None


@pytest.mark.parametrize("before", [[], [READY], [READY, STOPPING]])
def test_a_rank_may_give_itself_up(before: list[Notice]) -> None:
    one = health(Notify())
    for notice in before:
        one.heard(0, notice, 101.0)
    assert one.heard(0, TRIGGER, 102.0) == [Hang(0, "said that it hangs (WATCHDOG=trigger)")]


def test_each_rank_has_its_own_time() -> None:
    one = Health(HealthPlan({}, None, 3.0), range(3))
    for rank in range(3):
        one.started(rank, 100.0)
        one.heard(rank, BEAT, 100.0 + rank)
    one.ended(0)
    assert one.next_deadline == 104.0
    assert one.deadline(104.5) == [Hang(1, "missed its watchdog: no heartbeat for 3.5 s")]
    assert one.next_deadline == 105.0


# Late


def test_a_rank_may_be_too_late() -> None:
    one = health(PROBE, ready_timeout=5.0)
    assert one.next_deadline == 105.0
    assert one.deadline(105.0) == [Hang(0, "was not ready within 5 s")]


def test_the_time_to_get_ready_ends_with_readiness() -> None:
    one = health(PROBE, ready_timeout=5.0)
    one.probed(0, 104.0)
    assert one.next_deadline is None


def test_only_who_is_expected_to_be_ready_can_be_late() -> None:
    one = Health(HealthPlan({1: PROBE}, 5.0, None), range(2))
    for rank in range(2):
        one.started(rank, 100.0)
    assert one.deadline(105.0) == [Hang(1, "was not ready within 5 s")]


# The plan


def test_one_readiness_is_for_all() -> None:
    assert plan_health(Notify(), None, None, 2).readiness == {0: Notify(), 1: Notify()}
    assert plan_health({1: PROBE}, None, None, 2).readiness == {1: PROBE}
    assert plan_health(None, None, None, 2) == HealthPlan()


def test_who_is_heard() -> None:
    assert [plan_health({1: PROBE}, None, None, 2).is_heard(rank) for rank in range(2)] == [False, True]
    assert plan_health(None, None, 3.0, 1).is_heard(0)
    assert not plan_health(None, None, None, 1).is_heard(0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((True, None, None), r"readiness\[0\]: expected Notify"),
        (({0: "ready"}, None, None), r"readiness\[0\]: expected Notify"),
        (({0: Notify}, None, None), r"readiness\[0\]: expected Notify"),
        ((None, 5.0, None), "ready_timeout: there is nothing to wait for"),
        ((Notify(), 0, None), "ready_timeout: expected seconds"),
        ((Notify(), None, -1), "watchdog: expected seconds"),
        ((Notify(), None, float("nan")), "watchdog: expected seconds"),
        ((Notify(), None, float("inf")), "watchdog: expected seconds"),
        ((Notify(), None, "3"), "watchdog: expected seconds"),
    ],
)
def test_a_plan_that_makes_no_sense(arguments: tuple[Any, Any, Any], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        plan_health(*arguments, 1)


def test_a_plan_for_a_rank_that_is_none() -> None:
    with pytest.raises(InvalidRanksError, match=r"from 0 to 1; unexpected: \[-1, 2\]"):
        plan_health({2: Notify(), -1: Notify()}, None, None, 2)
