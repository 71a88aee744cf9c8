"""torch's agent, as ``torchrun`` uses it, on the contexts of ``aelastic.sync``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.helpers.apps import Application

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.apps import Ended

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(120)


def agent(what: str, directory: Path) -> Application:
    return Application("app_is_torchs_agent", "asyncio", what, directory)


def ended(what: str, directory: Path) -> Ended:
    with agent(what, directory) as app:
        found = app.ended(timeout=100)
        assert app.survivors() == []
    return found


def test_torchs_agent_gets_the_values(tmp_path: Path) -> None:
    found = ended("works", tmp_path)
    assert found.code == 0, found.err
    assert "values {0: 0, 1: 10}" in found.out


def test_torchs_agent_runs_programs(tmp_path: Path) -> None:
    found = ended("is a program", tmp_path)
    assert found.code == 0, found.err
    assert {"rank 0 of 2", "rank 1 of 2"} <= set(found.out.splitlines())


def test_torchs_agent_restarts_all_ranks(tmp_path: Path) -> None:
    found = ended("fails once", tmp_path)
    assert found.code == 0, found.err
    assert "values {0: 0, 1: 10}" in found.out
    attempts = {path.name for path in tmp_path.glob("rank-*")}
    assert attempts == {f"rank-{rank}-attempt-{attempt}" for rank in (0, 1) for attempt in (0, 1)}


def test_torchs_agent_gets_the_traceback_of_the_first_failure(tmp_path: Path) -> None:
    """Rank 0, which is told to stop in consequence, ends within the same second, the resolution of torch's times."""
    found = ended("fails", tmp_path)
    assert found.code == 1
    assert "ChildFailedError" in found.err
    cause = found.err.split("Root Cause (first observed failure):")[1]
    assert "rank      : 1 (local_rank: 1)" in cause
    assert "ValueError: no luck in attempt 1" in cause
    assert (tmp_path / "goodbye-0").exists()


@pytest.mark.parametrize(
    ("sig", "raised"), [(signal.SIGTERM, "got signal SIGTERM"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_torchs_agent_is_told_to_end(sig: signal.Signals, raised: str, tmp_path: Path) -> None:
    with agent("sleeps", tmp_path) as app:
        app.line("sleeping")
        app.process.send_signal(sig)
        found = app.ended()
        assert app.survivors() == []
    assert found.code != 0
    assert raised in found.err
    if sig == signal.SIGTERM:
        assert "death signal, shutting down workers" in found.err  # torch has recognized the exception as its own
