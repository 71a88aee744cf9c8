"""ProcessFailure."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.errors import ProcessFailure

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signal_is_named() -> None:
    failure = ProcessFailure(0, 42, -9)
    assert failure.signal_name() == "SIGKILL"
    assert failure.reason == "killed by SIGKILL"
    assert failure.message == "Signal 9 (SIGKILL) received by PID 42"


@pytest.mark.parametrize("exitcode", [0, 1, 255])
def test_an_exit_code_has_no_signal(exitcode: int) -> None:
    failure = ProcessFailure(0, 42, exitcode)
    assert failure.signal_name() == "<N/A>"
    assert failure.reason == f"exited with code {exitcode}"


@pytest.mark.parametrize("exitcode", [0, 3])
def test_an_exit_without_report_says_what_to_do(exitcode: int) -> None:
    message = ProcessFailure(0, 42, exitcode).message
    assert isinstance(message, str)
    assert f"code {exitcode}" in message
    assert "aelastic.errors.record" in message


def test_what_is_not_said_is_nothing() -> None:
    failure = ProcessFailure(0, 42, -1)
    assert failure.message == "Signal 1 (SIGHUP) received by PID 42"
    assert (failure.stderr_tail, failure.collateral) == ("", False)
    assert (failure.timestamp, failure.exited_at, failure.lifetime) == (0, 0.0, 0.0)


def test_a_real_time_signal_has_a_name_of_its_own() -> None:
    assert ProcessFailure(0, 42, -(signal.SIGRTMIN + 3)).reason == f"killed by signal {signal.SIGRTMIN + 3}"


def test_without_an_error_file_the_fields_are_torchs() -> None:
    failure = ProcessFailure(0, 42, 3)
    assert failure.error_file == "<N/A>"
    assert failure.error_file_data == {"message": "<NONE>"}


def test_what_was_reported_is_kept() -> None:
    message = {"message": "E: x", "extraInfo": {}}
    failure = ProcessFailure(0, 42, 3, "/e.json", {"message": message}, message, reason="because")
    assert failure.message == message
    assert failure.reason == "because"


def test_t4_building_one_reads_no_file(tmp_path: Path) -> None:
    corrupt = tmp_path / "error.json"
    corrupt.write_text("{")
    failure = ProcessFailure(0, 42, 1, str(corrupt))
    assert failure.error_file == str(corrupt)
    assert failure.error_file_data == {"message": "<NONE>"}


def test_t7_no_two_failures_share_their_data() -> None:
    ProcessFailure(0, 42, 1).error_file_data["errorTraits"] = {}
    assert ProcessFailure(1, 43, -9).error_file_data == {"message": "<NONE>"}


def test_failures_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ProcessFailure(0, 42, 1).exitcode = 0  # type: ignore[misc]


def test_failures_can_be_pickled() -> None:
    failure = ProcessFailure(0, 42, -15, collateral=True, exited_at=1.5)
    assert pickle.loads(pickle.dumps(failure)) == failure  # noqa: S301


def test_the_time_is_local_and_without_fractions() -> None:
    moment = datetime(2026, 11, 23, 4, 51, 28)
    failure = ProcessFailure(0, 42, 1, timestamp=int(moment.timestamp()))
    assert failure.timestamp_isoformat() == "2026-11-23_04:51:28"


@given(st.integers())
def test_any_time_has_a_text(timestamp: int) -> None:
    text = ProcessFailure(0, 42, 1, timestamp=timestamp).timestamp_isoformat()
    assert text == "<N/A>" or re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d", text)


@given(st.integers())
def test_any_exit_code_has_a_reason(exitcode: int) -> None:
    assert ProcessFailure(0, 42, exitcode).reason


@pytest.mark.parametrize("exitcode", [-9, -15, 0, 3])
def test_torch_says_the_same(exitcode: int, torch_errors: Any) -> None:
    theirs = torch_errors.ProcessFailure(0, os.getpid(), exitcode, "<N/A>")
    ours = ProcessFailure(0, os.getpid(), exitcode, timestamp=theirs.timestamp)
    assert ours.signal_name() == theirs.signal_name()
    assert ours.timestamp_isoformat() == theirs.timestamp_isoformat()
    assert ours.error_file == theirs.error_file
    if exitcode < 0:
        assert ours.message == theirs.message


def test_every_field_of_torch_exists(torch_errors: Any) -> None:
    theirs = {one.name for one in dataclasses.fields(torch_errors.ProcessFailure)}
    assert theirs <= {one.name for one in dataclasses.fields(ProcessFailure)}
