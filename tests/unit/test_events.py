"""What an event says of itself."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest

from aelastic.errors import ProcessFailure
from aelastic.events import (
    Event,
    LogLine,
    RankExited,
    RankHung,
    RankProgress,
    RankReady,
    RankStarted,
    RankStatus,
    RunFinished,
)
from aelastic.results import RunProcsResult
from aelastic.std import Std


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (RankStarted(1, 42, 0.0), "rank 1 started with pid 42"),
        (RankReady(1, 0.0), "rank 1 is ready"),
        (RankStatus(1, "loading", 0.0), "rank 1: loading"),
        (RankProgress(1, 120.0, 1234567.0, 0.0), "rank 1: 120 of 1234567"),
        (RankProgress(1, 0.5, None, 0.0), "rank 1: 0.5"),
        (RankHung(1, "missed its watchdog", 0.0), "rank 1 missed its watchdog"),
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


EVENTS: list[tuple[Event, dict[str, Any]]] = [
    (RankStarted(1, 42, 5.0), {"event": "RankStarted", "rank": 1, "pid": 42, "time": 5.0}),
    (RankStatus(1, "x", 5.0), {"event": "RankStatus", "rank": 1, "status": "x", "time": 5.0}),
    (RankProgress(1, 2.0, None, 5.0), {"event": "RankProgress", "rank": 1, "done": 2.0, "total": None, "time": 5.0}),
    (
        RankExited(1, 42, -9, collateral=True, time=5.0),
        {"event": "RankExited", "rank": 1, "pid": 42, "exitcode": -9, "collateral": True, "time": 5.0},
    ),
    (
        RunFinished(RunProcsResult(return_values={0: object()}, exitcodes={0: 0}), 5.0),
        {
            "event": "RunFinished",
            "failed": False,
            "first_failure": None,
            "exitcodes": {0: 0},
            "abandoned": {},
            "time": 5.0,
        },
    ),
]


@pytest.mark.parametrize(("event", "mapping"), EVENTS)
def test_an_event_is_a_mapping(event: Event, mapping: dict[str, Any]) -> None:
    assert event.to_dict() == mapping
    json.dumps(event.to_dict())


def test_the_mapping_of_a_failed_run_names_the_first_failure() -> None:
    result = RunProcsResult(failures={2: ProcessFailure(2, 42, 3)}, exitcodes={2: 3})
    told = RunFinished(result, 5.0).to_dict()
    assert told["first_failure"] == {"rank": 2, "exitcode": 3, "reason": "exited with code 3"}
    assert told["failed"] is True


def test_every_event_can_be_told() -> None:
    assert all(hasattr(kind, "to_dict") and "__str__" in vars(kind) for kind in get_args(Event))
