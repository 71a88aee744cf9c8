"""Scenario 14: signals to the launcher, on a real terminal and without one."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.ranks import wait_until_gone
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

# Says which signals it gets; "stops" on those that are to stop it, when it is willing to.
COUNTS = """
import os, signal, sys, time
seen = []
def note(number, frame):
    seen.append(signal.Signals(number).name)
    print("got", seen[-1], "as number", len(seen), flush=True)
for one in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(signal.Signals[one], note)
print("ready", os.getpid(), flush=True)
while {deaf} or not set(seen) & {{"SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"}}:
    time.sleep(0.01)
time.sleep(0.2)
print("ends after", *seen, flush=True)
"""
TERMS = pytest.mark.parametrize("term", ["dumb", "xterm"])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "counts.py"
    path.write_text(COUNTS.format(deaf=False))
    return path


@pytest.fixture
def deaf(tmp_path: Path) -> Path:
    path = tmp_path / "deaf.py"
    path.write_text(COUNTS.format(deaf=True))
    return path


def on_a_terminal(script: Path, term: str, *args: str) -> Terminal:
    return Terminal("run", "--nproc-per-node", "2", "--tee", "3", *args, str(script), term=term, lines=60)


def logged(terminal: Terminal) -> list[str]:
    """The lines of the ranks, without what the table says of them."""
    lines = terminal.output.replace(b"\x1b", b"\n").decode().splitlines()
    return [line.partition("[default")[2].partition(":")[2] for line in lines if "[default" in line]


def ranks_of(terminal: Terminal) -> list[int]:
    return [int(line.split()[1]) for line in logged(terminal) if line.startswith("ready")]


@TERMS
def test_one_ctrl_c_is_one_interrupt_for_each_rank_and_grace(script: Path, term: str) -> None:
    with on_a_terminal(script, term) as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        terminal.press_ctrl_c()
        assert terminal.wait() == 128 + signal.SIGINT
    assert sorted(logged(terminal)[-2:]) == ["ends after SIGINT"] * 2
    assert b"aelastic: stopped by SIGINT after" in terminal.output


@TERMS
def test_a_second_ctrl_c_kills(deaf: Path, term: str) -> None:
    with on_a_terminal(deaf, term) as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        terminal.press_ctrl_c()
        terminal.wait_until(lambda: logged(terminal).count("got SIGINT as number 1") == 2, "one interrupt each")
        terminal.press_ctrl_c()
        assert terminal.wait() == 128 + signal.SIGINT
    assert not [line for line in logged(terminal) if line.startswith(("ends", "got SIGINT as number 2"))]
    assert all(wait_until_gone(pid) for pid in ranks_of(terminal))


@TERMS
def test_a_third_ctrl_c_waits_for_nothing(deaf: Path, term: str) -> None:
    """The ranks are killed, but somebody holds a stream of one open: for a second, more could come."""
    for _ in range(5):  # if that second was over before we got a turn, it was no test
        with on_a_terminal(deaf, term) as terminal:
            terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
            ranks = ranks_of(terminal)
            with open(f"/proc/{ranks[0]}/fd/1", "wb"):
                terminal.press_ctrl_c()
                terminal.wait_until(lambda: logged(terminal).count("got SIGINT as number 1") == 2, "one interrupt each")
                terminal.press_ctrl_c()
                assert all(wait_until_gone(pid) for pid in ranks)
                terminal.press_ctrl_c()
                terminal.wait()
        if terminal.process.returncode == -signal.SIGINT:
            return
    raise AssertionError(f"always ended with {terminal.process.returncode}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_stops_reaches_the_ranks(script: Path, number: signal.Signals) -> None:
    with on_a_terminal(script, "dumb") as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
    assert logged(terminal).count(f"ends after {number.name}") == 2


def test_a_signal_that_is_forwarded_stops_nothing(script: Path) -> None:
    with on_a_terminal(script, "dumb") as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        terminal.process.send_signal(signal.SIGUSR1)
        terminal.wait_for(b"got SIGUSR1 as number 1", count=2)
        terminal.process.send_signal(signal.SIGUSR2)
        terminal.wait_for(b"got SIGUSR2 as number 2", count=2)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
    assert logged(terminal).count("ends after SIGUSR1 SIGUSR2 SIGTERM") == 2


def test_the_sets_of_signals_can_be_chosen(script: Path) -> None:
    """As on SLURM: SIGUSR1 ends the ranks. It is in both sets, and stopping comes first."""
    with on_a_terminal(script, "dumb", "--signals-to-handle", "SIGUSR1", "--signals-to-forward", "SIGTERM") as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        terminal.process.send_signal(signal.SIGUSR1)
        terminal.wait_for(b"got SIGUSR1 as number 1", count=2)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGUSR1
    assert logged(terminal).count("ends after SIGUSR1 SIGTERM") == 2


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_an_ignored_signal_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """SIGHUP under nohup; and whatever else somebody has ignored."""
    go, script = tmp_path / "go", tmp_path / "waits.py"
    script.write_text(
        "import os, time\nprint('ready', flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('went on')"
    )
    command = [sys.executable, "-m", "aelastic", "run", "--tee", "3", str(script)]
    ignores = f"import os, signal; signal.signal({int(number)}, signal.SIG_IGN); os.execv({command[0]!r}, {command!r})"
    wrapper = ["nohup", *command] if number == signal.SIGHUP else [sys.executable, "-c", ignores]
    with subprocess.Popen(wrapper, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(number)
        go.touch()
        assert "went on" in process.stdout.read()
    assert process.returncode == 0


def test_a_hangup_without_nohup_stops(script: Path) -> None:
    """The terminal's window is closed: the kernel sends SIGHUP to its foreground."""
    with on_a_terminal(script, "dumb") as terminal:
        terminal.wait_until(lambda: len(ranks_of(terminal)) == 2, "both ready")
        ranks = ranks_of(terminal)
        terminal.hang_up()
        assert terminal.process.wait(30) == 128 + signal.SIGHUP
    assert all(wait_until_gone(pid) for pid in ranks)
