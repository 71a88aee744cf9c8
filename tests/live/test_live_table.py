"""What people see on a terminal: lines that scroll, and a table that stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("rich")

# Goes on when told to, by a file for each step.
STEPS = """
import os, sys, time
rank = os.environ["RANK"]
def step(name):
    print("at", name, "rank", rank, flush=True)
    while not os.path.exists(os.path.join({directory!r}, name)):
        time.sleep(0.02)
step("one")
step("two")
print("ends", rank)
if {fails} and rank == "1":
    sys.exit("no more luck")
"""


class Steps:
    def __init__(self, directory: Path, *, fails: bool = False) -> None:
        self.directory = directory
        self.script = directory / "steps.py"
        self.script.write_text(STEPS.format(directory=str(directory), fails=fails))

    def allow(self, name: str) -> None:
        (self.directory / name).touch()


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


def live(*args: str, lines: int = 24, columns: int = 80) -> Terminal:
    return Terminal("run", *args, term="xterm-256color", lines=lines, columns=columns)


def table_of(terminal: Terminal) -> list[str]:
    """The rows of the table on the screen."""
    begins = [number for number, line in enumerate(terminal.display) if re.match(" *rank +state", line)]
    return [" ".join(row.split()) for row in terminal.display[begins[-1] + 1 :]] if begins else []


def test_a_table_below_the_lines(steps: Steps) -> None:
    with live("--nproc-per-node", "2", str(steps.script)) as terminal:
        terminal.wait_until(lambda: len([row for row in table_of(terminal) if "at one" in row]) == 2, "a row per rank")
        for rank, row in enumerate(table_of(terminal)):
            assert re.fullmatch(rf"{rank} running \d+ 0:0\d \d+% \d+M at one rank {rank}", row)
        assert [line for line in terminal.display if line.startswith("[default")]
        assert "steps.py: 2 ranks" in "\n".join(terminal.display)
        steps.allow("one")
        terminal.wait_until(lambda: all("at two" in row for row in table_of(terminal)), "the next status")
        steps.allow("two")
        assert terminal.wait() == 0
    shown = [*terminal.history, *terminal.display]
    assert sorted(line for line in shown if line.startswith("[default")) == sorted(
        f"[default{rank}]:{text} {rank}" for rank in range(2) for text in ("at one rank", "at two rank", "ends")
    )
    assert [row.split()[:2] for row in table_of(terminal)[:2]] == [["0", "done"], ["1", "done"]]
    assert re.fullmatch(r"aelastic: 2 ranks succeeded after 0:\d\d", terminal.display[-1])


def test_what_a_rank_tells_of_itself(tmp_path: Path) -> None:
    script = tmp_path / "tells.py"
    told = "rank.status('epoch 3'); rank.progress(5, 20)"
    script.write_text(f"import time\nfrom aelastic import rank\n{told}\nwhile True: time.sleep(0.05)")
    with live(str(script)) as terminal:
        terminal.wait_until(lambda: any(row.endswith("5/20 epoch 3") for row in table_of(terminal)), "the status")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM


def test_the_failure_is_told_below_the_table(tmp_path: Path) -> None:
    steps = Steps(tmp_path, fails=True)
    steps.allow("one")
    with live("--nproc-per-node", "2", str(steps.script), lines=60) as terminal:
        terminal.wait_for(b"at two", count=2)
        steps.allow("two")
        assert terminal.wait() == 1
    shown = "\n".join(terminal.display)
    assert "1  exit 1" in shown
    assert "Root Cause (first observed failure):" in shown
    assert "stderr    : no more luck" in shown
    assert "aelastic: rank 1 exited with code 1" in shown
    (where,) = re.findall("logs are in (.*)", shown)
    assert list(os.walk(where))  # nobody asked for files, but now they are of use


def test_files_that_nobody_asked_for_do_not_stay(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("one", "two"):
        steps.allow(name)
    with live(str(steps.script)) as terminal:
        assert terminal.wait() == 0
    assert not list(tmp_path.glob("aelastic_*"))


def test_files_that_were_asked_for_stay(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("one", "two"):
        steps.allow(name)
    with live("--tee", "1", str(steps.script)) as terminal:
        assert terminal.wait() == 0
    assert len(list(tmp_path.glob("aelastic_*/**/stdout.log"))) == 1


def test_what_is_redirected_is_not_shown(steps: Steps) -> None:
    steps.allow("one")
    with live("--redirects", "3", "--nproc-per-node", "2", str(steps.script)) as terminal:
        terminal.wait_until(lambda: len(table_of(terminal)) == 2, "the table alone")
        assert not [line for line in terminal.display if line.startswith("[default")]
        steps.allow("two")
        assert terminal.wait() == 0


def test_the_filter_of_ranks_holds(steps: Steps) -> None:
    for name in ("one", "two"):
        steps.allow(name)
    with live("--local-ranks-filter", "1", "--nproc-per-node", "2", str(steps.script)) as terminal:
        assert terminal.wait() == 0
    lines = [line for line in (*terminal.history, *terminal.display) if line.startswith("[default")]
    assert {line[: len("[default1]")] for line in lines} == {"[default1]"}


@pytest.mark.parametrize("args", [("--plain",), ("--log-dir", os.devnull)])
def test_no_table_when_it_cannot_be(steps: Steps, args: tuple[str, ...]) -> None:
    for name in ("one", "two"):
        steps.allow(name)
    with live(*args, str(steps.script)) as terminal:
        assert terminal.wait() == 0
    assert b"\x1b" not in terminal.output
    assert b"at one rank 0\r\n" in terminal.output  # as it is


def test_no_table_on_a_dumb_terminal(steps: Steps) -> None:
    for name in ("one", "two"):
        steps.allow(name)
    with Terminal("run", str(steps.script), term="dumb") as terminal:
        assert terminal.wait() == 0
    assert b"\x1b" not in terminal.output


@pytest.mark.parametrize("package", ["rich", "psutil"])
def test_without_the_packages(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """An interpreter that does not find ``package``: no table, or one that measures nothing."""
    hook = f"import sys\nsys.modules[{package!r}] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hook)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    steps.allow("one")
    with live("--tee", "3", str(steps.script)) as terminal:
        terminal.wait_for(b"at two")
        if package == "psutil":
            terminal.wait_until(lambda: len(table_of(terminal)) == 1, "a table")
            assert "memory" not in "\n".join(terminal.display)
        steps.allow("two")
        assert terminal.wait() == 0
    assert b"[default0]:at one" in terminal.output
    assert (b"\x1b" in terminal.output) == (package == "psutil")


def test_a_smaller_window(steps: Steps) -> None:
    with live("--nproc-per-node", "12", str(steps.script), lines=40) as terminal:
        terminal.wait_until(lambda: len(table_of(terminal)) == 12, "the whole table")
        terminal.resize(16, 60)
        terminal.wait_until(lambda: "and 7 more: 7 running" in "\n".join(terminal.display), "a smaller table")
        for name in ("one", "two"):
            steps.allow(name)
        assert terminal.wait() == 0


def test_one_ctrl_c_below_the_table(steps: Steps) -> None:
    with live("--nproc-per-node", "2", str(steps.script)) as terminal:
        terminal.wait_until(lambda: len([row for row in table_of(terminal) if "at one" in row]) == 2, "a row per rank")
        terminal.press_ctrl_c()
        assert terminal.wait() == 128 + signal.SIGINT
    assert all("exit 1" in row or "SIGINT" in row for row in table_of(terminal)[:2])
    assert "aelastic: stopped by SIGINT after" in "\n".join(terminal.display)


def test_every_line_of_a_flood_is_shown_once(tmp_path: Path) -> None:
    script = tmp_path / "flood.py"
    script.write_text("import os\nfor number in range(2000): print('line', number, 'of', os.environ['RANK'])")
    with live("--nproc-per-node", "2", str(script)) as terminal:
        assert terminal.wait() == 0
    shown = [*terminal.history, *terminal.display]
    for rank in range(2):
        mine = [line for line in shown if line.startswith(f"[default{rank}]:")]
        assert mine == [f"[default{rank}]:line {number} of {rank}" for number in range(2000)]


def test_errors_elsewhere_do_not_disturb(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``2> file``: what goes to standard error goes there, and the table stays where it is."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in ("one", "two"):
        steps.allow(name)
    errors = tmp_path / "errors"
    command = f"exec {sys.executable} -m aelastic run --nproc-per-node 2 {steps.script} 2> {errors}"
    with Terminal.of_command("sh", "-c", command, term="xterm") as terminal:
        assert terminal.wait() == 0
    assert len(table_of(terminal)) == 2
    assert "aelastic: 2 ranks succeeded" in errors.read_text()
    assert "OMP_NUM_THREADS" in errors.read_text()
    assert "\x1b" not in errors.read_text()


def test_output_to_a_pipe_is_plain(steps: Steps) -> None:
    for name in ("one", "two"):
        steps.allow(name)
    command = [sys.executable, "-m", "aelastic", "run", "--tee", "3", str(steps.script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TERM": "xterm"})
    assert done.stdout == "[default0]:at one rank 0\n[default0]:at two rank 0\n[default0]:ends 0\n"
