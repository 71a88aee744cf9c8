"""What an event says of itself."""

from __future__ import annotations

import dataclasses

import pytest

from aelastic.errors import ProcessFailure
from aelastic.events import Event, LogLine, RankExited, RankStarted, RunFinished
from aelastic.results import RunProcsResult
from aelastic.std import Std


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RankStarted(1, 42, 0.0), "rank 1 started with pid 42"),
        (RankExited(1, 42, 0, collateral=False, time=0.0), "rank 1 exited with code 0"),
        (RankExited(1, 42, -9, collateral=False, time=0.0), "rank 1 was killed by signal 9"),
        (
            RankExited(1, 42, -15, collateral=True, time=0.0),
            "rank 1 was killed by signal 15 after it was told to stop",
        ),
        (RunFinished(RunProcsResult(), 0.0), "run succeeded"),
        (
            RunFinished(RunProcsResult(failures={2: ProcessFailure(2, 42, 3)}), 0.0),
            "run failed: rank 2 exited with code 3",
        ),
        (
            RunFinished(RunProcsResult(failures={2: ProcessFailure(2, 42, -15, collateral=True)}), 0.0),
            "run was stopped",
        ),
    ],
)
def test_an_event_is_a_sentence(event: Event, text: str) -> None:
    assert str(event) == text


def test_events_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RankStarted(1, 42, 0.0).rank = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        LogLine(0, Std.OUT, "text", 0.0).text = ""  # type: ignore[misc]
