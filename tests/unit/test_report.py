"""parse_report: whatever the bytes are, there is an answer."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.errors import ChildFailedError, ProcessFailure
from aelastic.errors.report import LARGEST_REPORT, Report, Unreadable, parse_report

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("caf\udce9"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
REPORT_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "message": JSON | st.fixed_dictionaries({}, optional={"message": JSON, "extraInfo": JSON}),
        "timestamp": JSON,
    },
)


def parsed(data: object) -> Report:
    report = parse_report(json.dumps(data).encode())
    assert isinstance(report, Report)
    return report


def problem(content: bytes) -> str:
    answer = parse_report(content)
    assert isinstance(answer, Unreadable)
    return answer.problem


def test_torchs_structured_message() -> None:
    message = {"message": "E: x", "extraInfo": {"py_callstack": "Traceback", "timestamp": "1700000000"}}
    assert parsed({"message": message}) == Report({"message": message}, message, 1_700_000_000)


def test_torchs_plain_message() -> None:
    assert parsed({"message": "x", "timestamp": 17}) == Report({"message": "x", "timestamp": 17}, "x", 17)


def test_a_plain_message_may_have_no_time() -> None:
    assert parsed({"message": "x"}).timestamp is None


@pytest.mark.parametrize(("value", "seconds"), [("17", 17), (17, 17), (17.9, 17), ("17.9", 17), (-5, -5)])
def test_the_time_is_a_text_or_a_number(value: object, seconds: int) -> None:
    assert parsed({"message": "x", "timestamp": value}).timestamp == seconds
    assert parsed({"message": {"extraInfo": {"timestamp": value}}}).timestamp == seconds


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", [], {}, float("nan"), float("inf"), float("-inf"), "nan", "inf", 10**400, "9" * 400, True],
    ids=repr,
)
def test_an_odd_time_is_no_time(value: object) -> None:
    assert parsed({"message": "x", "timestamp": value}).timestamp is None
    assert parsed({"message": {"extraInfo": {"timestamp": value}}}).timestamp is None


@pytest.mark.parametrize("info", [None, [], "text", 7])
def test_odd_extra_info_is_passed_over(info: object) -> None:
    assert parsed({"message": {"message": "x", "extraInfo": info}}).timestamp is None


def test_an_empty_file_is_called_so() -> None:
    assert problem(b"") == "it is empty"


@pytest.mark.parametrize("content", [b"{", b"\0\0", b'{"message": "x"', b"\xff\xfe\xfd", b"nonsense", b" "])
def test_what_is_not_json_is_called_so(content: bytes) -> None:
    assert problem(content).startswith("it is not JSON")


@pytest.mark.parametrize("data", [1, None, [], "message", {}, {"message": None}, {"message": 5}, {"message": []}])
def test_json_without_a_message_is_called_so(data: object) -> None:
    assert problem(json.dumps(data).encode()) == "it has no message"


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"message":' * 200_000, b"[" * 200_000 + b"]" * 200_000])
def test_json_that_is_too_deep_is_called_so(content: bytes) -> None:
    assert problem(content) == "its JSON is nested too deeply"


@pytest.mark.parametrize("cut", [b'{"message": "caf\xc3', b'{"message": "caf\xc3"}', b'{"message": "\xf0\x9d\x84'])
def test_half_a_character_is_no_json(cut: bytes) -> None:
    assert problem(cut).startswith("it is not JSON")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 4000, "-0.0"])
def test_odd_numbers_beside_the_message_pass(number: str) -> None:
    report = parse_report(f'{{"message": "x", "loss": {number}, "timestamp": {number}}}'.encode())
    assert isinstance(report, Report)
    assert report.message == "x"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 4000])
def test_a_number_is_no_message(number: str) -> None:
    assert problem(f'{{"message": {number}}}'.encode()) == "it has no message"


@pytest.mark.parametrize(("depth", "allowed"), [(97, True), (98, False), (900, False)])
def test_json_can_be_a_hundred_levels_deep(depth: int, allowed: bool) -> None:
    """More can be read, but not always be copied, pickled or shown."""
    content = b'{"message": {"extraInfo": {"more": ' + b"[" * depth + b"]" * depth + b"}}}"
    assert isinstance(parse_report(content), Report) == allowed


def test_what_is_too_large_is_not_even_looked_at() -> None:
    assert problem(b" " * (LARGEST_REPORT + 1)) == "it is too large"


def test_numbers_too_long_to_read_are_a_problem_not_an_exception() -> None:
    assert problem(b'{"message": "x", "timestamp": ' + b"9" * 10_000 + b"}").startswith("it is not JSON")


def test_every_text_can_be_encoded() -> None:
    """Python has the bytes of a file name that is no Unicode as lone surrogates; whoever printed them would fail."""
    odd = "caf\udce9 é €"
    report = parsed({"message": {"message": odd, "extraInfo": {odd: [odd, 1, None]}}})
    text = r"caf\udce9 é €"
    assert report.message == {"message": text, "extraInfo": {text: [text, 1, None]}}
    assert report.data == {"message": report.message}


def test_surrogates_in_the_bytes_themselves_are_no_exception() -> None:
    assert parse_report(b'{"message": "\xed\xa0\x80"}') == Report({"message": r"\ud800"}, r"\ud800", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_unicode_encoding_is_understood(encoding: str) -> None:
    assert parse_report('{"message": "ü"}'.encode(encoding)) == Report({"message": "ü"}, "ü", None)


@given(st.binary())
def test_any_bytes_have_an_answer(content: bytes) -> None:
    assert isinstance(parse_report(content), Report | Unreadable)


@given(REPORT_LIKE)
def test_anything_like_a_report_has_an_answer(data: dict[str, Any]) -> None:
    answer = parse_report(json.dumps(data).encode())
    assert isinstance(answer, Report) == isinstance(data.get("message"), str | dict)


@given(REPORT_LIKE)
def test_anything_like_a_report_makes_a_failure_that_can_be_shown_copied_and_sent(data: dict[str, Any]) -> None:
    report = parse_report(json.dumps(data).encode())
    if isinstance(report, Report):
        seen = ProcessFailure(
            0, 42, 1, "error.json", error_file_data=report.data, message=report.message, timestamp=report.timestamp or 0
        )
        error = ChildFailedError("w", {0: seen})
        for text in (str(error), repr(seen), seen.timestamp_isoformat()):
            text.encode()
        assert str(pickle.loads(pickle.dumps(error))) == str(copy.deepcopy(error)) == str(error)  # noqa: S301 - ours


@given(REPORT_LIKE, st.integers(min_value=0, max_value=200))
def test_a_report_cut_off_anywhere_has_an_answer(data: dict[str, Any], length: int) -> None:
    assert isinstance(parse_report(json.dumps(data).encode()[:length]), Report | Unreadable)
