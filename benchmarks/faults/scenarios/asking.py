"""14: signals to the launchers, ``torchrun`` and ``aelastic run``."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

NPROC = 2
COUNTS = "from tests.scenarios.vices import counts_signals; counts_signals(True)"
GOES_ON = "import time; print('ready', flush=True); time.sleep(2); print('went on', flush=True)"
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(NPROC), "--tee", "3")
AELASTIC = ("aelastic", "run", "--nproc-per-node", str(NPROC), "--tee", "3")
PATIENCE = 25.0


def _command(stage: Stage, launcher: tuple[str, ...], script: str) -> list[str]:
    path = Path(stage.path("script.py"))
    path.write_text(f"import sys; sys.path.insert(0, {os.getcwd()!r})\n{script}\n")
    return [sys.executable, "-m", *launcher, str(path)]


def _press_ctrl_c(stage: Stage, launcher: tuple[str, ...]) -> None:
    """Once, on a terminal, when all ranks are ready."""
    terminal, slave = pty.openpty()
    command = ["setsid", "--ctty", *_command(stage, launcher, COUNTS)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = _read_until(terminal, b"ready", NPROC)
        os.write(terminal, b"\x03")
        began = time.monotonic()
        shown += _read_until(terminal, b"", 0)
        status = process.wait(PATIENCE)
    stage.note(seconds=time.monotonic() - began, status=status, counted=shown.count(b"counted 1"))
    stage.note(traceback=b"Traceback" in shown)
    os.close(terminal)


def _read_until(terminal: int, text: bytes, count: int) -> bytes:
    """What is shown until ``text`` was so often, or to the end."""
    shown, deadline = b"", time.monotonic() + PATIENCE
    while not (text and shown.count(text) >= count) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # nobody has the terminal open any more
                break
    return shown


def torch_ctrl_c(stage: Stage) -> None:
    """torchrun."""
    _need_torch()
    _press_ctrl_c(stage, TORCHRUN)


def aelastic_ctrl_c(stage: Stage) -> None:
    """aelastic run."""
    _press_ctrl_c(stage, AELASTIC)


def tell_ctrl_c(seen: Seen) -> str:
    """How many ranks got exactly one SIGINT, and the end."""
    facts = seen.facts
    traceback = ", a traceback of the launcher" if facts["traceback"] else ""
    return f"{facts['counted']} of {NPROC} ranks got exactly one SIGINT; exit status {facts['status']}{traceback}"


def _hang_up_after_nohup(stage: Stage, launcher: tuple[str, ...]) -> None:
    command = ["nohup", *_command(stage, launcher, GOES_ON)]
    output = Path(stage.path("nohup.out"))
    with (
        output.open("wb") as file,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        stage.wait_for("ready", [str(output)])
        process.send_signal(signal.SIGHUP)
        status = process.wait(PATIENCE)
    stage.note(status=status, went_on=output.read_text().count("went on"))


def torch_nohup(stage: Stage) -> None:
    """torchrun."""
    _need_torch()
    _hang_up_after_nohup(stage, TORCHRUN)


def aelastic_nohup(stage: Stage) -> None:
    """aelastic run."""
    _hang_up_after_nohup(stage, AELASTIC)


def tell_nohup(seen: Seen) -> str:
    """Whether the ranks went on."""
    return f"{seen.facts['went_on']} of {NPROC} ranks went on; exit status {seen.facts['status']}"


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


SCENARIOS: Iterable[Scenario] = (
    Scenario("14 ^C", "the launcher's terminal gets one ^C", torch_ctrl_c, aelastic_ctrl_c, tell_ctrl_c, limit=60.0),
    Scenario("14 nohup", "SIGHUP to the launcher after nohup", torch_nohup, aelastic_nohup, tell_nohup, limit=60.0),
)
