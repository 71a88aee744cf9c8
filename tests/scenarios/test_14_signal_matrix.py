"""14. Signals, from a terminal, from elsewhere, by a terminal that goes away: one for each rank, a second one kills."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import aelastic
from tests.helpers.apps import python_path
from tests.helpers.logs import finish
from tests.helpers.ranks import line_of, redirected
from tests.helpers.terminal import Terminal
from tests.scenarios import vices
from tests.scenarios.kinds import KINDS, each_kind, ranks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.kinds import Kind

PATIENCE = 30.0
ASKING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """What starts ranks that count signals."""
    monkeypatch.setenv("PYTHONPATH", python_path())
    return Command(tmp_path / "script.py")


class Command:
    """The arguments of ``aelastic`` for ranks that count signals."""

    def __init__(self, script: Path) -> None:
        self._script = script

    def __call__(self, *, ends: bool, nproc: int = 2) -> tuple[str, ...]:
        self._script.write_text(f"from tests.scenarios.vices import counts_signals; counts_signals({ends})")
        return "run", "--nproc-per-node", str(nproc), "--tee", "3", str(self._script)


def press_ctrl_c(terminal: Terminal, times: int) -> None:
    """At once."""
    for _ in range(times):
        terminal.press_ctrl_c()


# A terminal


def test_one_ctrl_c_is_one_interrupt_for_each_rank_and_grace(command: Command) -> None:
    with Terminal(*command(ends=True)) as terminal:
        terminal.wait_for(b"ready", count=2)
        terminal.press_ctrl_c()
        assert terminal.wait() == 128 + signal.SIGINT
    assert terminal.output.count(b"counted 1\r\n") == 2


def test_a_second_ctrl_c_kills(command: Command) -> None:
    with Terminal(*command(ends=False)) as terminal:
        terminal.wait_for(b"ready", count=2)
        terminal.press_ctrl_c()
        terminal.wait_for(b"got SIGINT 1", count=2)
        terminal.press_ctrl_c()
        assert terminal.wait() == 128 + signal.SIGINT
    assert b"got SIGINT 2" not in terminal.output


def test_a_third_ctrl_c_does_no_harm(command: Command) -> None:
    with Terminal(*command(ends=False)) as terminal:
        terminal.wait_for(b"ready", count=2)
        terminal.press_ctrl_c()
        terminal.wait_for(b"got SIGINT 1", count=2)
        press_ctrl_c(terminal, 2)
        # The third leaves by the signal itself, unless the second had ended everything before: the same to a shell.
        assert terminal.wait() in (128 + signal.SIGINT, -signal.SIGINT)
    assert b"got SIGINT 2" not in terminal.output
    assert b"Traceback" not in terminal.output


def test_ctrl_c_while_the_ranks_are_being_started(command: Command) -> None:
    with Terminal(*command(ends=True, nproc=16)) as terminal:
        terminal.wait_for(b"ready")
        press_ctrl_c(terminal, 2)
        assert terminal.wait() == 128 + signal.SIGINT


@pytest.mark.parametrize("number", ASKING)
def test_a_signal_to_the_command_reaches_each_rank_once(command: Command, number: signal.Signals) -> None:
    with Terminal(*command(ends=True)) as terminal:
        terminal.wait_for(b"ready", count=2)
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
    assert terminal.output.count(f"got {number.name} 1\r\n".encode()) == 2
    assert terminal.output.count(b"counted 1\r\n") == 2


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGINT")])
def test_a_second_signal_of_any_kind_kills(command: Command, first: str, second: str) -> None:
    with Terminal(*command(ends=False)) as terminal:
        terminal.wait_for(b"ready", count=2)
        terminal.process.send_signal(signal.Signals[first])
        terminal.wait_for(f"got {first} 1".encode(), count=2)
        terminal.process.send_signal(signal.Signals[second])
        assert terminal.wait() == 128 + signal.Signals[first]
    assert terminal.output.count(b"got ") == 2


# A terminal that goes away, and one that goes away after nohup


class Session:
    """A command line as the first process of a terminal session, which can be hung up."""

    def __init__(self, *argv: str, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        command = ["setsid", "--ctty", *argv]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=cwd)
        os.close(slave)

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._master)


def wait_for(file: Path, text: str, count: int = 1) -> None:
    """Until ``text`` is in ``file`` so often."""
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or file.read_text().count(text) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("view", ["--plain", "--local-ranks-filter=0,1"])
def test_a_terminal_that_goes_away_stops_the_ranks(command: Command, view: str, tmp_path: Path) -> None:
    """With lines alone, and with the table, which is what the second option leaves things at."""
    logs = tmp_path / "logs"
    *options, script = command(ends=True)
    program = sys.executable, "-m", "aelastic"
    session = Session(*program, *options, view, "--log-dir", str(logs), script, cwd=tmp_path)
    deadline = time.monotonic() + PATIENCE
    while len(files := list(logs.rglob("stdout.log"))) < 2 or not all(file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    session.hang_up()
    assert session.process.wait(PATIENCE) == 128 + signal.SIGHUP
    assert [file.read_text() for file in files] == ["ready\ngot SIGHUP 1\ncounted 1\n"] * 2


def test_after_nohup_the_ranks_go_on(command: Command, tmp_path: Path) -> None:
    """Neither the terminal's end nor a SIGHUP from elsewhere concerns them; SIGTERM does."""
    session = Session("nohup", sys.executable, "-m", "aelastic", *command(ends=True), cwd=tmp_path)
    output = tmp_path / "nohup.out"
    wait_for(output, "ready", count=2)
    session.hang_up()
    session.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        session.process.wait(0.3)
    session.process.terminate()
    assert session.process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert output.read_text().count("got ") == 2
    assert output.read_text().count("got SIGTERM 1") == 2


# The opt-in of an application


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "number"), list(zip(KINDS, ASKING, strict=True)))
async def test_an_application_that_handles_signals_hands_each_on_once(
    kind: Kind, number: signal.Signals, tmp_path: Path
) -> None:
    before = {one: signal.getsignal(one) for one in ASKING}
    async with ranks(kind, vices.counts_signals, (True,), (True,), logs_specs=redirected(tmp_path)) as ctx:
        with aelastic.handle_signals(ctx, ASKING) as received:
            for rank in range(2):
                await line_of(ctx, "ready", rank)
            os.kill(os.getpid(), number)
            result = await finish(ctx)
        assert received.signal is number
    assert not result.is_failed()
    for rank in range(2):
        assert (await line_of(ctx, "counted", rank)).text == "counted 1"
    assert {one: signal.getsignal(one) for one in ASKING} == before


@pytest.mark.asyncio
@each_kind
async def test_a_second_signal_to_such_an_application_kills(kind: Kind, tmp_path: Path) -> None:
    async with ranks(kind, vices.counts_signals, (False,), logs_specs=redirected(tmp_path)) as ctx:
        with aelastic.handle_signals(ctx, ASKING):
            await line_of(ctx, "ready")
            os.kill(os.getpid(), signal.SIGTERM)
            await line_of(ctx, "got SIGTERM 1")
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                result = await finish(ctx)
    assert result.exitcodes == {0: -signal.SIGKILL}
