"""The application itself is killed: a Python of its own that plays scenes gets SIGKILL at a random moment."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.cell import control_groups, own_cell, remove_cell
from tests.chaos.chance import Draw
from tests.chaos.session import Options, Session, warm_up
from tests.chaos.traces import describe, kill
from tests.helpers.apps import marked, new_loop
from tests.helpers.guardians import guardians_of

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 3.0  # seconds; one is promised, on a machine with nothing else to do
_GUARDIANS_PATIENCE = 10.0  # it looks twice, in case a launch was going on
_MARK = "AELASTIC_CHAOS_MURDER"
_ROOT = Path(__file__).parent.parent.parent
_LONGEST_LIFE = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Murder:
    """What came of one. ``victims``: processes of the application that ran then; ``seconds``: until all were gone.

    ``litter``: control groups that nobody is in, and that nobody has removed. They hold nothing but their name.
    """

    seed: int
    loop: str
    victims: int
    seconds: float
    complaints: list[str]
    litter: list[str]

    def __str__(self) -> str:
        again = f"again: python -m tests.chaos --seed {self.seed} --murders 1 --loop {self.loop}"
        return "\n".join([*self.complaints, again])


def murder(seed: int, loop: str) -> Murder:
    """Start an application on ``loop`` that plays the scenes from ``seed`` on, kill it, and look what is left."""
    directory = tempfile.mkdtemp(prefix="aelastic-murder-")
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    try:
        application = _start(seed, loop, directory, mark)
        time.sleep(Draw(seed).seconds(_LONGEST_LIFE))
        guardians = set(guardians_of(application.pid))
        victims = {*marked(_MARK, mark), *guardians} - {application.pid}
        application.kill()
        began = time.monotonic()
        application.wait()
        gone = _wait_until(lambda: not marked(_MARK, mark), began + PATIENCE)
        seconds = time.monotonic() - began
        left = [] if gone else [f"process {describe(pid)}" for pid in marked(_MARK, mark)]
        if not _wait_until(lambda: not _alive(guardians), began + _GUARDIANS_PATIENCE):
            left += [f"guardian {describe(pid)}" for pid in _alive(guardians)]
        kill(marked(_MARK, mark))
        litter = control_groups(application.pid)
        remove_cell(application.pid)
        return Murder(seed, loop, len(victims), seconds, left, litter)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def be_killed(seed: int, loop: str) -> None:
    """What the application does."""
    warm_up()
    session = Session(Options(seed, gangs=1000, concurrency=2, contained=True), loop, lambda _: None)
    with own_cell(), asyncio.Runner(loop_factory=partial(new_loop, loop)) as runner:
        print("playing", flush=True)
        runner.run(session.run())


def _start(seed: int, loop: str, directory: str, mark: str) -> subprocess.Popen[bytes]:
    application = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.victim", str(seed), loop],
        cwd=_ROOT,
        env={**os.environ, _MARK: mark, "TMPDIR": directory},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert application.stdout is not None
    if application.stdout.readline() != b"playing\n":
        raise AssertionError(f"the application ended with {application.wait()}")
    application.stdout.close()
    return application


def _wait_until(condition: Callable[[], bool], deadline: float) -> bool:
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return true


def _alive(guardians: set[int]) -> set[int]:
    """They show no mark, their environment is empty."""
    return {pid for pid in guardians if os.path.exists(f"/proc/{pid}/exe")}
