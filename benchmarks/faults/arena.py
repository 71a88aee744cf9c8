"""Performing a scenario: a fresh interpreter, a hard time limit, and whatever is left is counted and ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.faults.stage import Seen, Stage

if TYPE_CHECKING:
    from benchmarks.faults.stage import Scenario

_MARK = "AELASTIC_FAULT_SCENARIO"
_SETTLING = 1.0  # seconds that whatever is about to end may take; one is what aelastic promises
_WORDS = 2000


def perform(scenario: Scenario, contender: str) -> Seen:
    """What happens when ``contender`` does ``scenario``."""
    with tempfile.TemporaryDirectory(prefix="faults-") as directory:
        return _Performance(scenario, contender, Stage(Path(directory))).run()


class _Performance:
    def __init__(self, scenario: Scenario, contender: str, stage: Stage) -> None:
        self._scenario = scenario
        self._stage = stage
        self._mark = secrets.token_hex(8)
        self._output = open(stage.path("output"), "wb")  # noqa: SIM115 - closed in run
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.play", scenario.name, contender, str(stage.directory)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, _MARK: self._mark},
            start_new_session=True,
        )

    def run(self) -> Seen:
        began = time.monotonic()
        try:
            hung = not self._wait(began + self._scenario.limit)
            seconds = time.monotonic() - began
            survivors = self._survivors()
            return self._seen(survivors, hung, seconds)
        finally:
            self._end()

    def _wait(self, deadline: float) -> bool:
        """Whether it ends in time; meddle with it when it is ready."""
        meddle = self._scenario.meddle
        while time.monotonic() < deadline:
            if meddle is not None and "ready" in self._stage.noted():
                meddle(self._supervisor)
                meddle = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(0.02)
                return True
        return False

    def _survivors(self) -> list[int]:
        deadline = time.monotonic() + _SETTLING
        while (found := self._members()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def _members(self) -> list[int]:
        """Whatever runs with our mark, but the supervisor."""
        mark = f"{_MARK}={self._mark}".encode()
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if pid != self._supervisor.pid and mark in _environ(pid)]

    def _seen(self, survivors: list[int], hung: bool, seconds: float) -> Seen:
        output = Path(self._stage.path("output")).read_text(errors="replace")[-_WORDS:]
        facts = self._stage.noted()
        return Seen(facts, len(survivors), hung, seconds, None if hung else self._supervisor.returncode, output)

    def _end(self) -> None:
        while members := [*self._members(), *([self._supervisor.pid] if self._supervisor.poll() is None else [])]:
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._supervisor.wait()
        self._output.close()


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
