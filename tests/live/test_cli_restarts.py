"""``--max-restarts``: a failure of one rank starts all of them anew."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.launcher import aelastic
from tests.helpers.terminal import Terminal

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "ddp_digits.py"

# Rank 1 fails on each attempt before the one given as its argument, when rank 0 has said which attempt it is.
FLAKY = """
import os, pathlib, sys, time
attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]
print("attempt", attempt, "of", os.environ["TORCHELASTIC_MAX_RESTARTS"], flush=True)
said = pathlib.Path(sys.argv[0] + attempt)
if os.environ["RANK"] == "0":
    said.touch()
if int(attempt) < int(sys.argv[1]):
    while os.environ["RANK"] == "0" or not said.exists():
        time.sleep(0.05)
    sys.exit(5)
"""


@pytest.fixture
def flaky(tmp_path: Path) -> Path:
    path = tmp_path / "flaky.py"
    path.write_text(FLAKY)
    return path


def test_all_ranks_start_anew(flaky: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    done = aelastic("run", "--max-restarts=2", "--nproc=2", "--tee=3", "--log-dir", logs, flaky, "1")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"[default{rank}]:attempt {attempt} of 2" for rank in range(2) for attempt in range(2)
    ]
    assert re.search(r"^aelastic: 2 ranks succeeded after 0:\d\d and 1 restart$", done.stderr, re.MULTILINE)
    assert "rank 1 exited with code 5" in done.stderr
    assert sorted(path.parts[-3] for path in logs.rglob("stdout.log")) == ["attempt_0"] * 2 + ["attempt_1"] * 2


def test_when_they_are_used_up_it_has_failed(flaky: Path) -> None:
    failed = aelastic("run", "--nproc=2", flaky, "9", env={"PET_MAX_RESTARTS": "1"})
    assert failed.returncode == 5
    assert "Root Cause (first observed failure):" in failed.stderr
    assert re.search(
        r"rank 1 exited with code 5 \(1 other .*\), after 0:\d\d and 1 restart$", failed.stderr, re.MULTILINE
    )


def test_a_script_by_runpy_starts_anew(flaky: Path) -> None:
    done = aelastic("run", "--max-restarts=1", "--run-path", "--start-method=fork", "--nproc=2", "--tee=3", flaky, "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("attempt 1 of 1") == 2


def test_what_cannot_be_started_is_not_tried_again() -> None:
    failed = aelastic("run", "--max-restarts=3", "--no-python", "no-such-program")
    assert failed.returncode == 1
    assert "rank 0: the program was not found" in failed.stderr
    assert "restarts" not in failed.stderr


def test_the_table_counts_them(flaky: Path) -> None:
    pytest.importorskip("rich")
    args = ("--max-restarts", "3", "--nproc-per-node", "2", str(flaky), "1")
    with Terminal("run", *args, term="xterm", lines=40, columns=100) as terminal:
        terminal.wait_until(lambda: bool(re.search(r"1 +waiting", "\n".join(terminal.display))), "the back-off")
        assert terminal.wait() == 0
    shown = "\n".join(terminal.display)
    assert re.search(r"rank +state +pid +up +restarts", shown)
    assert re.search(r"1 +done +\d+ +\d:\d\d +1 ", shown)


@pytest.mark.parametrize("moment", ["rank_started", "rank_restarting"])
def test_a_signal_is_stronger_than_a_restart(flaky: Path, moment: str) -> None:
    """While ranks run, and while they wait for their restart."""
    if moment == "rank_started":
        flaky.write_text("import time\nwhile True: time.sleep(0.05)")
    command = [sys.executable, "-m", "aelastic", "run", "--json", "--max-restarts=9", "--nproc=2", str(flaky), "9"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        while json.loads(run.stdout.readline())["event"] != moment:
            pass
        run.send_signal(signal.SIGTERM)
        events = [json.loads(line) for line in run.stdout]
        errors = run.communicate()[1]
    assert run.returncode == 128 + signal.SIGTERM, errors
    assert [one["event"] for one in events].count("run_finished") == 1
    assert not [one for one in events if one["event"] == "rank_started" and one["attempt"]]


class Training:
    """``examples/ddp_digits.py`` on two ranks, watched through ``--json``."""

    def __init__(self, directory: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "aelastic",
            "run",
            "--json",
            "--nproc-per-node=2",
            "--tee=3",
            "--max-restarts=3",
        ]
        script = [str(EXAMPLE), "--epochs", "12", "--checkpoint", str(directory / "digits.pt")]
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*command, *script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=directory
        )

    def wait_for(self, text: str) -> None:
        """Until a rank has said so."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if text in line:
                return
        raise AssertionError("\n".join(self.lines))

    def pid_of(self, rank: int) -> int:
        """Of the rank that was started last."""
        assert self.process.stdout is not None
        while True:
            self.events.append(json.loads(self.process.stdout.readline()))
            if self.events[-1]["event"] == "rank_started" and self.events[-1]["rank"] == rank:
                return int(self.events[-1]["pid"])

    def end(self) -> float:
        """Its last loss."""
        out, err = self.process.communicate(timeout=240)
        self.lines += err.splitlines()
        self.events += map(json.loads, out.splitlines())
        assert self.process.returncode == 0, "\n".join(self.lines)
        return float(re.findall(r"epoch 11: loss ([0-9.]+)", "\n".join(self.lines))[-1])


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_torch_ddp_survives_the_loss_of_a_rank(tmp_path: Path) -> None:
    """A rank is killed in the middle; all start anew, go on from the checkpoint, and end where they would have."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    (tmp_path / "disturbed").mkdir()
    (tmp_path / "undisturbed").mkdir()
    disturbed = Training(tmp_path / "disturbed")
    victim = disturbed.pid_of(1)
    disturbed.wait_for("epoch 2:")
    os.kill(victim, signal.SIGKILL)
    loss = disturbed.end()
    text = "\n".join(disturbed.lines)
    assert text.count("weights are the same on all ranks") == 2, text
    resumed = [int(epoch) for epoch in re.findall(r"rank \d: goes on after epoch (\d+), 1 restarts so far", text)]
    assert len(resumed) == 2
    assert resumed[0] == resumed[1] >= 2
    killed = [one for one in disturbed.events if one["event"] == "rank_exited" and one["pid"] == victim]
    assert [one["exitcode"] for one in killed] == [-signal.SIGKILL]
    assert [one["rank"] for one in disturbed.events if one["event"] == "rank_restarting"] == [0, 1]
    assert disturbed.events[-1]["restarts"] == 1
    assert loss == Training(tmp_path / "undisturbed").end()
