"""From what was seen of a failed rank to its failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.verdict import Evidence, failure_of
from aelastic.errors.child_failed import ChildFailedError
from aelastic.errors.report import Report, Unreadable

SEEN = Evidence(
    rank=2,
    pid=42,
    exitcode=3,
    collateral=False,
    started_at=1000.25,
    ended_at=1002.75,
    error_file="/logs/2/error.json",
    report=None,
    stderr_tail="last words\n",
)


def report(message: str | dict[str, Any], timestamp: int | None = 777) -> Report:
    return Report({"message": message}, message, timestamp)


def test_what_was_seen_is_kept() -> None:
    failure = failure_of(SEEN)
    assert (failure.local_rank, failure.pid, failure.exitcode, failure.collateral) == (2, 42, 3, False)
    assert (failure.exited_at, failure.lifetime, failure.stderr_tail) == (1002.75, 2.5, "last words\n")


def test_without_an_error_file_the_time_is_that_of_the_exit() -> None:
    failure = failure_of(SEEN)
    assert failure.error_file == "<N/A>"
    assert failure.error_file_data == {"message": "<NONE>"}
    assert failure.timestamp == 1002
    assert failure.reason == "exited with code 3"


def test_with_an_error_file_message_and_time_are_the_files() -> None:
    message = {"message": "ValueError: x", "extraInfo": {"py_callstack": "..."}}
    failure = failure_of(replace(SEEN, report=report(message)))
    assert failure.error_file == "/logs/2/error.json"
    assert failure.error_file_data == {"message": message}
    assert failure.message == message
    assert failure.timestamp == 777
    assert failure.reason == "exited with code 3: ValueError: x"


@pytest.mark.parametrize("timestamp", [0, -1])
def test_any_time_of_the_file_counts(timestamp: int) -> None:
    assert failure_of(replace(SEEN, report=report("x", timestamp))).timestamp == timestamp


def test_a_file_without_a_time_gets_that_of_the_exit() -> None:
    assert failure_of(replace(SEEN, report=report("x", None))).timestamp == 1002


def test_a_plain_message_is_the_reason() -> None:
    failure = failure_of(replace(SEEN, report=report("out of luck")))
    assert failure.message == "out of luck"
    assert failure.reason == "exited with code 3: out of luck"


@pytest.mark.parametrize("message", ["", {}, {"message": ""}, {"message": 5}, {"message": ["x"]}, {"other": "x"}])
def test_a_message_without_text_adds_nothing_to_the_reason(message: str | dict[str, Any]) -> None:
    assert failure_of(replace(SEEN, report=report(message))).reason == "exited with code 3"


def test_t4_a_file_that_cannot_be_used_is_part_of_the_reason() -> None:
    failure = failure_of(replace(SEEN, report=Unreadable("it is empty")))
    assert failure.reason == "exited with code 3; its error file could not be used: it is empty"
    assert failure.error_file == "/logs/2/error.json"
    assert failure.error_file_data == {"message": "<NONE>"}
    assert failure.timestamp == 1002


def test_a_signal_is_named() -> None:
    failure = failure_of(replace(SEEN, exitcode=-11))
    assert failure.reason == "killed by SIGSEGV"
    assert failure.message == "Signal 11 (SIGSEGV) received by PID 42"


def test_a_rank_that_was_stopped_says_so() -> None:
    failure = failure_of(replace(SEEN, exitcode=-15, collateral=True))
    assert failure.collateral
    assert failure.reason == "killed by SIGTERM after it was told to stop"


def test_a_rank_that_never_ended_counts_as_killed() -> None:
    failure = failure_of(replace(SEEN, exitcode=None, collateral=True))
    assert failure.exitcode == -9
    assert failure.reason == "did not end even after SIGKILL"


def test_a_rank_that_hung_says_so_and_when() -> None:
    seen = replace(SEEN, exitcode=0, problem="missed its watchdog", failed_at=1001.5)
    failure = failure_of(seen)
    assert (failure.reason, failure.message) == ("missed its watchdog", "missed its watchdog")
    assert (failure.failed_at, failure.exited_at) == (1001.5, 1002.75)
    assert failure_of(SEEN).failed_at == 1002.75


def test_a_rank_that_hung_and_never_ended() -> None:
    failure = failure_of(replace(SEEN, exitcode=None, problem="missed its watchdog"))
    assert failure.reason == "missed its watchdog; it did not end even after SIGKILL"


@given(
    exitcode=st.none() | st.integers(-64, 255),
    collateral=st.booleans(),
    answer=st.none()
    | st.builds(Unreadable, st.text())
    | st.builds(report, st.text() | st.dictionaries(st.text(), st.text() | st.integers()), st.none() | st.integers()),
)
def test_any_evidence_gives_a_failure_that_can_be_shown(
    exitcode: int | None, collateral: bool, answer: Report | Unreadable | None
) -> None:
    failure = failure_of(replace(SEEN, exitcode=exitcode, collateral=collateral, report=answer))
    assert failure.reason
    assert failure.message
    assert "Root Cause" in str(ChildFailedError("w", {2: failure}))
