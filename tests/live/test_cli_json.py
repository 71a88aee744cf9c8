"""The events of a run as JSON lines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.launcher import aelastic

if TYPE_CHECKING:
    from pathlib import Path

TALKS = (
    "import os, sys; print('to stdout'); print('to stderr', file=sys.stderr); sys.exit(3 * (os.environ['RANK'] == '1'))"
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(TALKS)
    return path


def events_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_run_that_succeeds(script: Path) -> None:
    done = aelastic("run", "--json", script)
    started, exited, finished = events_of(done.stdout)
    assert [one["event"] for one in (started, exited, finished)] == ["rank_started", "rank_exited", "run_finished"]
    assert (started["rank"], started["pid"]) == (exited["rank"], exited["pid"])
    assert (exited["exitcode"], exited["collateral"]) == (0, False)
    assert started["time"] <= exited["time"] <= finished["time"]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("args", "shown"),  # of rank 1: rank 0 may be stopped before it says anything
    [((), {"to stdout", "to stderr"}), (("--tee", "3"), {"[default1]:to stdout", "[default1]:to stderr"})],
)
def test_what_ranks_say_goes_to_standard_error(script: Path, args: tuple[str, ...], shown: set[str]) -> None:
    done = aelastic("run", "--json", *args, "--nproc-per-node", "2", script)
    assert all(one in done.stderr for one in shown)
    assert done.returncode == 3
    assert "Root Cause" in done.stderr
    events = events_of(done.stdout)
    assert events[-1]["event"] == "run_finished"
    assert {one["rank"]: one["exitcode"] for one in events if one["event"] == "rank_exited"}[1] == 3


def test_events_come_when_they_happen(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = tmp_path / "waits.py"
    script.write_text(f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)")
    command = [sys.executable, "-m", "aelastic", "run", "--json", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "rank_started"
        go.touch()
        assert json.loads(process.stdout.readline())["event"] == "rank_exited"
        assert "succeeded" in process.communicate()[1]
    assert process.returncode == 0


def test_a_reader_that_goes_away_does_not_stop_the_ranks(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = tmp_path / "waits.py"
    script.write_text(f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('went on')")
    command = [sys.executable, "-m", "aelastic", "run", "--json", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        go.touch()
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert "went on" in errors
    assert "no more events are written (Broken pipe); the ranks go on" in errors
    assert "Traceback" not in errors
