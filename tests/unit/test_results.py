"""RunProcsResult."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from aelastic.errors import ChildFailedError, ProcessFailure
from aelastic.results import RunProcsResult


def failure(rank: int, exited_at: float, *, collateral: bool = False) -> ProcessFailure:
    return ProcessFailure(rank, 100 + rank, 1, exited_at=exited_at, collateral=collateral)


def result(*failures: ProcessFailure) -> RunProcsResult:
    return RunProcsResult(failures={one.local_rank: one for one in failures}, name="trainer")


def test_an_empty_result_is_a_success() -> None:
    empty = RunProcsResult()
    assert not empty.is_failed()
    assert empty.first_failure is None
    empty.raise_for_failures()


def test_no_two_results_share_their_mappings() -> None:
    RunProcsResult().exitcodes[0] = 1
    assert RunProcsResult().exitcodes == {}


def test_the_first_failure_is_the_earliest_exit() -> None:
    first = result(failure(0, 20.0), failure(1, 10.0), failure(2, 15.0)).first_failure
    assert first is not None
    assert first.local_rank == 1


def test_a_stopped_rank_is_a_failure_but_never_the_first() -> None:
    run = result(failure(0, 5.0, collateral=True), failure(1, 10.0))
    assert run.is_failed()
    assert run.first_failure is run.failures[1]


def test_where_all_were_stopped_there_is_no_first_failure() -> None:
    run = result(failure(0, 5.0, collateral=True))
    assert run.is_failed()
    assert run.first_failure is None
    with pytest.raises(ChildFailedError, match="trainer FAILED"):
        run.raise_for_failures()


def test_the_error_carries_the_name_and_the_failures() -> None:
    run = result(failure(0, 20.0), failure(1, 10.0))
    with pytest.raises(ChildFailedError, match="trainer FAILED") as caught:
        run.raise_for_failures()
    assert caught.value.failures == run.failures
    assert caught.value.get_first_failure() == (1, run.failures[1])


def test_results_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunProcsResult().name = "other"  # type: ignore[misc]


def test_results_can_be_pickled() -> None:
    run = result(failure(0, 20.0))
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301


def test_the_first_fields_are_those_of_torch(torch_mp: Any) -> None:
    theirs = list(inspect.signature(torch_mp.RunProcsResult).parameters)
    assert list(inspect.signature(RunProcsResult).parameters)[: len(theirs)] == theirs
