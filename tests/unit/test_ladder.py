"""The stop ladder: every cell of its table."""

from __future__ import annotations

from math import inf
from signal import SIGINT, SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import pytest

from aelastic.decide.ladder import Ladder, Step

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 30.0


def running() -> Ladder:
    return Ladder()


def terminating() -> Ladder:
    ladder = running()
    assert ladder.ask(SIGTERM, 100.0, GRACE) == SIGTERM
    return ladder


def killing() -> Ladder:
    ladder = terminating()
    assert ladder.expire(100.0 + GRACE) == SIGKILL
    return ladder


def abandoned() -> Ladder:
    ladder = killing()
    assert ladder.expire(1000.0) is None
    return ladder


def gone() -> Ladder:
    ladder = running()
    ladder.gone()
    return ladder


EVERY_STEP = (running, terminating, killing, abandoned, gone)
AT_STEP = pytest.mark.parametrize("at_step", EVERY_STEP)


@pytest.mark.parametrize(
    ("at_step", "step"),
    list(zip(EVERY_STEP, (Step.RUNNING, Step.TERMINATING, Step.KILLING, Step.ABANDONED, Step.GONE), strict=True)),
)
def test_the_steps(at_step: Callable[[], Ladder], step: Step) -> None:
    assert at_step().step is step


@pytest.mark.parametrize(
    ("at_step", "signal", "sent", "then"),
    [
        (running, SIGTERM, SIGTERM, Step.TERMINATING),
        (running, SIGINT, SIGINT, Step.TERMINATING),
        (running, SIGKILL, SIGKILL, Step.KILLING),
        (terminating, SIGTERM, None, Step.TERMINATING),
        (terminating, SIGINT, SIGINT, Step.TERMINATING),
        (terminating, SIGKILL, SIGKILL, Step.KILLING),
        (killing, SIGTERM, None, Step.KILLING),
        (killing, SIGKILL, None, Step.KILLING),
        (abandoned, SIGTERM, None, Step.ABANDONED),
        (abandoned, SIGKILL, None, Step.ABANDONED),
        (gone, SIGTERM, None, Step.GONE),
        (gone, SIGKILL, None, Step.GONE),
    ],
)
def test_ask(at_step: Callable[[], Ladder], signal: int, sent: int | None, then: Step) -> None:
    ladder = at_step()
    assert ladder.ask(signal, 110.0, GRACE) == sent
    assert ladder.step is then


@pytest.mark.parametrize(
    ("at_step", "sent", "then"),
    [
        (running, None, Step.RUNNING),
        (terminating, SIGKILL, Step.KILLING),
        (killing, None, Step.ABANDONED),
        (abandoned, None, Step.ABANDONED),
        (gone, None, Step.GONE),
    ],
)
def test_a_deadline_that_is_reached(at_step: Callable[[], Ladder], sent: int | None, then: Step) -> None:
    ladder = at_step()
    assert ladder.expire(100_000.0) == sent
    assert ladder.step is then


@AT_STEP
def test_a_deadline_that_is_not_reached_changes_nothing(at_step: Callable[[], Ladder]) -> None:
    ladder = at_step()
    before = (ladder.step, ladder.deadline)
    assert ladder.expire(129.999 if ladder.step is Step.TERMINATING else 100.0) is None
    assert (ladder.step, ladder.deadline) == before


@AT_STEP
def test_an_end_is_the_end_from_every_step(at_step: Callable[[], Ladder]) -> None:
    ladder = at_step()
    ladder.gone()
    assert (ladder.step, ladder.deadline, ladder.over) == (Step.GONE, None, True)


@pytest.mark.parametrize(
    ("at_step", "over"), [(running, False), (terminating, False), (killing, False), (abandoned, True), (gone, True)]
)
def test_over(at_step: Callable[[], Ladder], over: bool) -> None:
    assert at_step().over is over


@pytest.mark.parametrize(
    ("at_step", "deadline"),
    [(running, None), (terminating, 130.0), (killing, 135.0), (abandoned, None), (gone, None)],
)
def test_the_deadline(at_step: Callable[[], Ladder], deadline: float | None) -> None:
    assert at_step().deadline == deadline


def test_a_deadline_is_reached_at_its_very_moment() -> None:
    assert terminating().expire(130.0) == SIGKILL


@pytest.mark.parametrize(("at", "grace", "deadline"), [(110.0, 5.0, 115.0), (110.0, 60.0, 130.0), (110.0, 0.0, 110.0)])
def test_asked_again_the_earlier_deadline_stands(at: float, grace: float, deadline: float) -> None:
    ladder = terminating()
    ladder.ask(SIGINT, at, grace)
    assert ladder.deadline == deadline


def test_a_signal_is_sent_again_after_another_one() -> None:
    ladder = terminating()
    assert [ladder.ask(sig, 101.0, GRACE) for sig in (SIGINT, SIGINT, SIGTERM)] == [SIGINT, None, SIGTERM]


def test_the_first_request_is_remembered() -> None:
    ladder = terminating()
    ladder.ask(SIGKILL, 110.0, GRACE)
    assert ladder.asked_at == 100.0


@pytest.mark.parametrize(("grace", "reaping"), [(0.0, 0.5), (3.0, 0.5), (30.0, 5.0), (360.0, 60.0), (inf, 60.0)])
def test_the_wait_after_sigkill_grows_with_the_grace_and_has_an_end(grace: float, reaping: float) -> None:
    ladder = Ladder()
    ladder.ask(SIGTERM, 100.0, grace)
    assert ladder.ask(SIGKILL, 200.0, grace) == SIGKILL
    assert ladder.deadline == 200.0 + reaping


def test_sigkill_at_once_is_waited_for_too() -> None:
    ladder = Ladder()
    ladder.ask(SIGKILL, 100.0, GRACE)
    assert (ladder.asked_at, ladder.deadline) == (100.0, 105.0)


def test_a_late_look_gives_the_killed_process_its_time() -> None:
    ladder = terminating()
    assert ladder.expire(500.0) == SIGKILL
    assert ladder.deadline == 505.0
