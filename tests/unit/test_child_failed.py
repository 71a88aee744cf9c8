"""ChildFailedError and its box."""

from __future__ import annotations

import os
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.errors import AelasticError, ChildFailedError, ProcessFailure

WHEN = 1_700_000_000
TRACEBACK = "Traceback (most recent call last):\n  File 'x.py', line 1\nValueError: x\n"


def killed(rank: int, exited_at: float = 0.0, **fields: Any) -> ProcessFailure:
    return ProcessFailure(rank, 100 + rank, -15, timestamp=WHEN + rank, exited_at=exited_at, **fields)


def recorded(rank: int, message: str | dict[str, Any], exited_at: float = 0.0) -> ProcessFailure:
    return ProcessFailure(
        rank, 100 + rank, 1, f"/logs/{rank}/error.json", message=message, timestamp=WHEN, exited_at=exited_at
    )


def structured(text: str, callstack: str) -> dict[str, Any]:
    return {"message": text, "extraInfo": {"py_callstack": callstack, "timestamp": str(WHEN)}}


def test_it_is_an_error_of_aelastic() -> None:
    assert issubclass(ChildFailedError, AelasticError)


def test_it_needs_a_failure() -> None:
    with pytest.raises(ValueError, match="at least one failure"):
        ChildFailedError("w", {})


def test_a_single_failure_in_full() -> None:
    failure = killed(0)
    assert str(ChildFailedError("w.py", {0: failure})) == "\n".join(
        [
            "",
            "=" * 53,
            "w.py FAILED",
            "-" * 53,
            "Failures:",
            "  <NO_OTHER_FAILURES>",
            "-" * 53,
            "Root Cause (first observed failure):",
            "[0]:",
            f"  time      : {failure.timestamp_isoformat()}",
            f"  host      : {os.uname().nodename}",
            "  rank      : 0 (local_rank: 0)",
            "  exitcode  : -15 (pid: 100)  (SIGTERM)",
            "  error_file: <N/A>",
            "  traceback : Signal 15 (SIGTERM) received by PID 100",
            "=" * 53,
        ]
    )


def test_others_come_first_and_keep_their_numbers() -> None:
    text = str(ChildFailedError("w", {0: killed(0, 30.0), 3: killed(3, 10.0), 5: killed(5, 20.0)}))
    others, _, root = text.partition("Root Cause")
    assert re.findall(r"\[(\d)\]:\n(?:.*\n){2}  rank      : (\d)", others) == [("0", "0"), ("2", "5")]
    assert re.findall(r"\[(\d)\]:\n(?:.*\n){2}  rank      : (\d)", root) == [("1", "3")]
    assert "NO_OTHER" not in text


def test_an_exit_code_ends_with_one_blank() -> None:
    assert "  exitcode  : 1 (pid: 100) \n" in str(ChildFailedError("w", {0: recorded(0, "x")}))


def test_the_border_is_as_wide_as_the_text_and_no_wider_than_sixty() -> None:
    narrow = str(ChildFailedError("w", {0: recorded(0, "x")})).split("\n")
    wide = str(ChildFailedError("w" * 99, {0: recorded(0, "x")})).split("\n")
    assert narrow[1] == "=" * max(map(len, narrow[8:-1]))
    assert wide[1] == wide[-1] == "=" * 60
    assert wide[3] == "-" * 60


def test_a_traceback_is_indented() -> None:
    text = str(ChildFailedError("w", {0: recorded(0, structured("ValueError: x", TRACEBACK))}))
    assert "  traceback : Traceback (most recent call last):\n    File 'x.py', line 1\n  ValueError: x\n" in text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a text", "a text"),
        ({"message": "only this"}, "only this"),
        ({"message": "only this", "extraInfo": {}}, "only this"),
        ({"message": "only this", "extraInfo": []}, "only this"),
        ({"message": "this", "extraInfo": {"py_callstack": 7}}, "this"),
        ({"message": ["?"], "extraInfo": {}}, "<N/A>"),
        ({"other": 1}, "<N/A>"),
    ],
)
def test_the_best_text_there_is_becomes_the_traceback(message: str | dict[str, Any], shown: str) -> None:
    assert f"  traceback : {shown}\n" in str(ChildFailedError("w", {0: recorded(0, message)}))


def test_the_last_lines_of_stderr_stand_in_for_an_error_file() -> None:
    text = str(ChildFailedError("w", {0: killed(0, stderr_tail="one\ntwo\n")}))
    assert "\n  stderr    : one\n    two\n====" in text


def test_with_an_error_file_stderr_is_left_out() -> None:
    failure = ProcessFailure(0, 100, 1, "/e.json", message="x", stderr_tail="noise")
    assert "stderr" not in str(ChildFailedError("w", {0: failure}))


def test_t5_the_first_failure_is_the_first_exit_even_within_one_second() -> None:
    failures = {0: killed(0, WHEN + 0.4), 1: killed(1, WHEN + 0.1)}
    assert ChildFailedError("w", failures).get_first_failure() == (1, failures[1])


def test_a_stopped_rank_is_never_the_root_cause() -> None:
    failures = {0: killed(0, 1.0, collateral=True), 1: killed(1, 2.0)}
    assert ChildFailedError("w", failures).get_first_failure()[0] == 1


def test_where_all_were_stopped_the_earliest_is_the_root_cause() -> None:
    failures = {0: killed(0, 2.0, collateral=True), 1: killed(1, 1.0, collateral=True)}
    assert ChildFailedError("w", failures).get_first_failure()[0] == 1


def test_failures_built_by_hand_are_ordered_by_their_timestamp_then_as_given() -> None:
    assert ChildFailedError("w", {1: killed(1), 0: killed(0)}).get_first_failure()[0] == 0
    assert ChildFailedError("w", {1: recorded(1, "x"), 0: recorded(0, "x")}).get_first_failure()[0] == 1


def test_the_failures_given_are_copied() -> None:
    failures = {0: killed(0)}
    error = ChildFailedError("w", failures)
    failures.clear()
    assert error.get_first_failure()[0] == 0


def test_it_can_be_pickled() -> None:
    error = ChildFailedError("w", {0: killed(0)})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.name, copy.failures, str(copy)) == (error.name, error.failures, str(error))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner))


@given(
    message=st.text() | st.dictionaries(st.sampled_from(["message", "extraInfo", "py_callstack"]), JSON, min_size=1),
    timestamp=st.integers(),
    exitcode=st.integers(),
)
def test_whatever_was_reported_has_a_box(message: str | dict[str, Any], timestamp: int, exitcode: int) -> None:
    failure = ProcessFailure(0, 1, exitcode, "/e.json", message=message, timestamp=timestamp)
    assert str(ChildFailedError("w", {0: failure})).startswith("\n=")


# Torch renders the same failures, but for the host, our own message, and the order.


def in_torchs_words(torch_errors: Any, failure: ProcessFailure) -> Any:
    theirs = torch_errors.ProcessFailure(failure.local_rank, failure.pid, failure.exitcode, "<N/A>")
    theirs.error_file, theirs.message, theirs.timestamp = failure.error_file, failure.message, failure.timestamp
    return theirs


def without_host(text: str) -> str:
    return re.sub("  host      : .*", "  host      : h", text)


@pytest.mark.parametrize(
    "failures",
    [
        [killed(0)],
        [killed(0), killed(1), killed(2)],
        [killed(2), killed(0)],
        [recorded(0, "plain\ntext")],
        [killed(1), recorded(0, structured("ValueError: x", TRACEBACK))],
        [recorded(0, {"message": "no info"}), recorded(1, {"extraInfo": {}}), recorded(2, "x" * 99)],
    ],
    ids=["one", "three", "unsorted", "text", "traceback", "odd"],
)
@pytest.mark.parametrize("name", ["w", "a_script_with_a_very_long_name_" * 3])
def test_the_box_is_torchs(name: str, failures: list[ProcessFailure], torch_errors: Any) -> None:
    ours = ChildFailedError(name, {failure.local_rank: failure for failure in failures})
    theirs = torch_errors.ChildFailedError(
        name, {failure.local_rank: in_torchs_words(torch_errors, failure) for failure in failures}
    )
    assert without_host(str(ours)) == without_host(str(theirs))
