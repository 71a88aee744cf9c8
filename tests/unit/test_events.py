"""What an event says of itself."""

from __future__ import annotations

import dataclasses
import json
from typing import get_args

import pytest

from aelastic.errors import ProcessFailure
from aelastic.events import Event, GaveUp, LogLine, RankExited, RankRestarting, RankStarted, RunFinished
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
        (RankStarted(1, 42, 0.0, attempt=3), "rank 1 started with pid 42 (attempt 3)"),
        (RankRestarting(1, 3, 0.0, "it failed", 0.0), "rank 1 restarts at once (attempt 3): it failed"),
        (RankRestarting(1, 3, 12.3456, "it failed", 0.0), "rank 1 restarts in 12.3 s (attempt 3): it failed"),
        (GaveUp("rank 1 exited with code 3", 0.0, 1), "gave up: rank 1 exited with code 3"),
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


FAILED = RunProcsResult(
    failures={2: ProcessFailure(2, 42, 3)}, exitcodes={2: 3}, abandoned={1: 41}, restarts=2, gave_up="enough", name="w"
)


@pytest.mark.parametrize(
    ("event", "mapping"),
    [
        (RankStarted(1, 42, 5.0), {"event": "rank_started", "rank": 1, "pid": 42, "time": 5.0, "attempt": 0}),
        (
            RankExited(1, 42, -9, collateral=True, time=5.0, attempt=2),
            {
                "event": "rank_exited",
                "rank": 1,
                "pid": 42,
                "exitcode": -9,
                "collateral": True,
                "time": 5.0,
                "attempt": 2,
            },
        ),
        (
            RankRestarting(1, 2, 0.5, "it failed", 5.0),
            {"event": "rank_restarting", "rank": 1, "attempt": 2, "delay": 0.5, "reason": "it failed", "time": 5.0},
        ),
        (GaveUp("it failed", 5.0), {"event": "gave_up", "reason": "it failed", "time": 5.0, "rank": None}),
        (
            RunFinished(FAILED, 5.0),
            {
                "event": "run_finished",
                "time": 5.0,
                "name": "w",
                "failed": True,
                "exitcodes": {"2": 3},
                "first_failure": {"rank": 2, "reason": "exited with code 3"},
                "abandoned": {"1": 41},
                "restarts": 2,
                "gave_up": "enough",
            },
        ),
    ],
)
def test_an_event_is_a_mapping(event: Event, mapping: dict[str, object]) -> None:
    assert event.to_dict() == mapping
    assert json.loads(json.dumps(mapping)) == mapping
    assert next(iter(event.to_dict())) == "event"


def test_every_event_has_both() -> None:
    for one in get_args(Event):
        assert callable(one.to_dict)
        assert "__str__" in vars(one)
