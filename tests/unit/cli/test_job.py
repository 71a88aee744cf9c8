"""What a run ends with, and what is said of it."""

from __future__ import annotations

import signal

import pytest

from aelastic.cli.job import Ending
from aelastic.errors import ProcessFailure
from aelastic.results import RunProcsResult


def failed(*exitcodes: int, collateral: bool = False) -> RunProcsResult:
    failures = {
        rank: ProcessFailure(rank, 100, exitcode, collateral=collateral, exited_at=float(rank))
        for rank, exitcode in enumerate(exitcodes)
    }
    return RunProcsResult(failures=failures)


@pytest.mark.parametrize(
    ("result", "received", "status"),
    [
        (RunProcsResult({0: None}), None, 0),
        (failed(7, 8), None, 7),
        (failed(-signal.SIGSEGV), None, 128 + signal.SIGSEGV),
        (failed(0), None, 1),  # no value was delivered
        (failed(-signal.SIGTERM, collateral=True), None, 1),
        (failed(-signal.SIGTERM, collateral=True), signal.SIGTERM, 128 + signal.SIGTERM),
        (RunProcsResult({0: None}), signal.SIGINT, 128 + signal.SIGINT),
        (None, signal.SIGINT, 128 + signal.SIGINT),
    ],
)
def test_the_exit_status(result: RunProcsResult | None, received: signal.Signals | None, status: int) -> None:
    assert Ending(result, received, 1.0).exit_status == status
