"""Restart policies: whether and when, as a function of the past and the time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.restarts import Again, End, Enough, Outcome, RestartHistory, RestartPolicy, TooMuch, Verdict, judge
from aelastic.errors.base import InvalidArgumentError

NO_JITTER = 0.5
FAILED = End(Outcome.FAILED, 1.0, "rank 0 exited with code 1")
SUCCEEDED = End(Outcome.SUCCEEDED, 1.0, "rank 0 exited with code 0")
NOT_STARTED = End(Outcome.NOT_STARTED, 0.0, "could not be started: no such program")
STOPPED = End(Outcome.STOPPED, 1.0, "it was told to stop")
ABANDONED = End(Outcome.ABANDONED, 9.0, "rank 0 (pid 7) did not end even after SIGKILL")


def verdict(policy: RestartPolicy, end: End, history: RestartHistory | None = None, at: float = 100.0) -> Verdict:
    return judge(policy, history or RestartHistory(), end, at, NO_JITTER)


def delays(policy: RestartPolicy, ends: list[End], chance: float = NO_JITTER) -> list[float]:
    """The delay after each of ``ends``, which come a second apart."""
    history, found = RestartHistory(), []
    for at, end in enumerate(ends):
        given_verdict = judge(policy, history, end, float(at), chance)
        assert isinstance(given_verdict, Again)
        history = given_verdict.history
        found.append(given_verdict.delay)
    return found


# Whether


@pytest.mark.parametrize(
    ("when", "end", "expected"),
    [
        ("on_failure", FAILED, Again),
        ("on_failure", SUCCEEDED, Enough),
        ("on_failure", STOPPED, Enough),
        ("always", FAILED, Again),
        ("always", SUCCEEDED, Again),
        ("always", STOPPED, Enough),
        ("never", FAILED, Enough),
        ("never", SUCCEEDED, Enough),
        *[(when, end, TooMuch) for when in ("on_failure", "always", "never") for end in (NOT_STARTED, ABANDONED)],
    ],
)
def test_whether_there_is_a_restart(when: Any, end: End, expected: type[Verdict]) -> None:
    assert type(verdict(RestartPolicy(when), end)) is expected


@pytest.mark.parametrize(("when", "expected"), [("on_failure", Again), ("always", Again), ("never", Enough)])
def test_what_could_not_start_can_count_as_failed(when: Any, expected: type[Verdict]) -> None:
    assert type(verdict(RestartPolicy(when, retry_start=True), NOT_STARTED)) is expected


def test_what_was_abandoned_is_never_started_again() -> None:
    endless = RestartPolicy("always", None, retry_start=True)
    assert verdict(endless, ABANDONED) == TooMuch(ABANDONED.reason)


# The budget


@pytest.mark.parametrize("used", range(5))
def test_the_budget_in_total(used: int) -> None:
    allowed = isinstance(verdict(RestartPolicy(max_restarts=3), FAILED, RestartHistory(count=used)), Again)
    assert allowed == (used < 3)


def test_no_budget_is_no_limit() -> None:
    assert isinstance(verdict(RestartPolicy(max_restarts=None), FAILED, RestartHistory(count=10**9)), Again)


@pytest.mark.parametrize(
    ("recent", "allowed"),
    [
        ((), True),
        ((89.0, 95.0), True),  # the first no longer counts
        ((90.0, 95.0), True),  # a period old: no longer
        ((90.1, 95.0), False),
        ((95.0, 104.0), False),  # one that is still to come counts
    ],
)
def test_the_budget_within_a_period(recent: tuple[float, ...], allowed: bool) -> None:
    policy = RestartPolicy(max_restarts=2, period=10.0)
    history = RestartHistory(count=99, recent=recent)
    assert isinstance(verdict(policy, FAILED, history), Again) == allowed


def test_a_history_remembers_no_more_than_counts() -> None:
    policy, history = RestartPolicy(max_restarts=2, period=10.0, backoff=0), RestartHistory()
    for at in range(0, 1000, 6):
        again = judge(policy, history, FAILED, float(at), NO_JITTER)
        assert isinstance(again, Again)
        history = again.history
        assert len(history.recent) <= 2
    endless = verdict(RestartPolicy(max_restarts=None, period=10.0), FAILED)
    assert isinstance(endless, Again)
    assert endless.history.recent == ()


@pytest.mark.parametrize(
    ("policy", "end", "reason"),
    [
        (RestartPolicy(max_restarts=0), FAILED, "rank 0 exited with code 1, and no restart is allowed"),
        (
            RestartPolicy(max_restarts=1),
            FAILED,
            "rank 0 exited with code 1, and the one restart allowed was used up",
        ),
        (
            RestartPolicy(max_restarts=3, period=60),
            FAILED,
            "rank 0 exited with code 1, and the 3 restarts allowed within 60 s were used up",
        ),
        (RestartPolicy(), NOT_STARTED, "could not be started: no such program"),
    ],
)
def test_giving_up_says_why(policy: RestartPolicy, end: End, reason: str) -> None:
    history = RestartHistory(count=3, recent=(99.0,) * 3)
    assert verdict(policy, end, history) == TooMuch(reason)


# The back-off


def test_delays_grow_up_to_the_cap() -> None:
    policy = RestartPolicy(max_restarts=None, backoff=0.5, factor=3, max_backoff=10)
    assert delays(policy, [FAILED] * 6) == [0.5, 1.5, 4.5, 10, 10, 10]


def test_a_stable_time_begins_the_back_off_anew() -> None:
    policy = RestartPolicy(max_restarts=None, backoff=1, stable_after=30)
    shortly, stable = dataclasses.replace(FAILED, ran=29.9), dataclasses.replace(FAILED, ran=30.0)
    assert delays(policy, [shortly] * 3 + [stable] + [shortly] * 2) == [1, 2, 4, 1, 2, 4]


def test_a_stable_time_does_not_renew_the_budget() -> None:
    policy = RestartPolicy(max_restarts=1, stable_after=30)
    assert isinstance(verdict(policy, dataclasses.replace(FAILED, ran=1e6), RestartHistory(count=1)), TooMuch)


@given(
    backoff=st.floats(0, 1e6),
    factor=st.floats(1, 1e6),
    max_backoff=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    streak=st.integers(0, 100_000),
    chance=st.floats(0, 1),
)
def test_every_delay_is_within_its_bounds(
    backoff: float, factor: float, max_backoff: float, jitter: float, streak: int, chance: float
) -> None:
    policy = RestartPolicy(backoff=backoff, factor=factor, max_backoff=max_backoff, jitter=jitter)
    steady = dataclasses.replace(policy, jitter=0.0).delay(streak, chance)
    delay = policy.delay(streak, chance)
    assert 0 <= delay <= max_backoff
    assert math.isclose(delay, steady, rel_tol=1.001 * jitter, abs_tol=1e-9)
    assert steady in (0.0, max_backoff) or steady == pytest.approx(backoff * factor**streak)


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_chance_spreads_the_delay_over_the_jitter(chance: float, expected: float) -> None:
    assert RestartPolicy(backoff=10, jitter=0.2).delay(0, chance) == expected


def test_no_back_off_is_at_once_however_often() -> None:
    assert RestartPolicy(backoff=0).delay(100_000, 1.0) == 0.0


# Arguments


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("when", "sometimes"),
        ("max_restarts", -1),
        ("max_restarts", 1.5),
        ("period", 0),
        ("period", -1.0),
        ("period", math.inf),
        ("period", math.nan),
        ("backoff", -0.1),
        ("backoff", math.nan),
        ("factor", 0.9),
        ("max_backoff", -1),
        ("jitter", 1.1),
        ("stable_after", -1),
    ],
)
def test_a_policy_that_makes_no_sense_names_the_argument(what: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"restart.{what}: .*{value!r}"):
        RestartPolicy(**{what: value})
