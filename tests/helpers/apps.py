"""Applications of their own: a Python that uses aelastic and is watched from outside, to its end and after."""

from __future__ import annotations

import asyncio
import contextlib
import os
import posix
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from tests.helpers.ranks import CHILDREN

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Self

LOOPS = ("asyncio", "uvloop")

_MARK = "AELASTIC_TEST_MARK"
_ROOT = Path(__file__).parent.parent.parent
_NOISE = ("Traceback", "Task was destroyed", "never retrieved", "never awaited", "Exception ignored", "Event loop is")


def python_path() -> str:
    """What makes the tests importable, and whatever is importable here."""
    ours = [_ROOT / "src", _ROOT, _ROOT / "tests" / "without_pidfds"]
    return os.pathsep.join(filter(None, [*map(str, ours), os.environ.get("PYTHONPATH")]))


def run_on(loop: str, main: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run`` or ``uvloop.run``. For the applications."""
    (uvloop.run if loop == "uvloop" else asyncio.run)(main)


def new_loop(loop: str) -> asyncio.AbstractEventLoop:
    """A loop of the kind ``loop``. For the applications."""
    return uvloop.new_event_loop() if loop == "uvloop" else asyncio.new_event_loop()


def has_ended(pid: int, patience: float = 10.0) -> bool:
    """Whether the process ends within ``patience`` seconds; whoever it belongs to may reap it. Blocks the thread."""
    try:
        descriptor = posix.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], patience)[0])
    finally:
        os.close(descriptor)


async def reaped(pid: int, patience: float = 10.0) -> bool:
    """Whether the process is ended and reaped within ``patience`` seconds by the running loop, which knows of it."""
    deadline = time.monotonic() + patience
    while (there := _is_known(pid)) and time.monotonic() < deadline:  # noqa: ASYNC110 - the loop needs its turns
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    return not there


def _is_known(pid: int) -> bool:
    """In the process table, or, on Python 3.11, to a thread that has yet to tell the loop of its end."""
    waiting = any(thread.name.startswith("asyncio-waitpid") for thread in threading.enumerate())
    return os.path.exists(f"/proc/{pid}") or waiting


@dataclass(frozen=True, slots=True)
class Ended:
    """How an application ended: exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def noise(self) -> list[str]:
        """What no application should have to read on its standard error."""
        return [line for line in self.err.splitlines() if any(word in line for word in _NOISE)]


class Application:
    """The script ``tests/children/<script>.py`` on ``loop``, running. As a context manager: nothing of it stays.

    ``options`` are Python's; ``under`` is the command that starts it, if it needs special circumstances.
    """

    def __init__(
        self,
        script: str,
        loop: str,
        *args: object,
        options: tuple[str, ...] = (),
        under: tuple[str, ...] = (),
        own_session: bool = False,
    ) -> None:
        self._mark = secrets.token_hex(8)
        self._said = b""
        self._out, write_end = os.pipe()
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [*under, sys.executable, *options, str(CHILDREN / f"{script}.py"), loop, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=self._err,
            env={**os.environ, _MARK: self._mark, "PYTHONPATH": python_path()},
            start_new_session=own_session,
        )
        os.close(write_end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for pid in self._members():
            with contextlib.suppress(ProcessLookupError):  # its guardian was faster
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._out)
        self._err.close()

    def line(self, text: str) -> str:
        """Wait for a line of standard output that contains ``text``."""
        while block := os.read(self._out, 4096):
            self._said += block
            for line in self._said.decode().splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line
        raise AssertionError(f"no line with {text!r} in {self._said!r}; standard error:\n{self._errors()}")

    def interrupt(self) -> None:
        """What the terminal does on Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ended(self, timeout: float = 30.0) -> Ended:
        """Wait for its end; all its output."""
        code = self.process.wait(timeout)
        os.set_blocking(self._out, False)  # a survivor may hold it open
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._out, 65536):
                self._said += block
        return Ended(code, self._said.decode(), self._errors())

    def _errors(self) -> str:
        self._err.seek(0)
        return self._err.read().decode()

    def survivors(self, patience: float = 3.0) -> list[str]:
        """What of it, ranks and all that they started, still runs after ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while (members := self._members()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return [describe(pid) for pid in members]

    def _members(self) -> list[int]:
        return marked(_MARK, self._mark)


def marked(variable: str, value: str) -> list[int]:
    """The processes that were started with ``variable`` in their environment; one that has ended has none."""
    mark = f"{variable}={value}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _has(entry, mark)]


def describe(pid: int) -> str:
    """The process, for a message."""
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
    except OSError:
        return f"{pid} (gone)"


def _has(entry: Path, mark: bytes) -> bool:
    try:
        return mark in (entry / "environ").read_bytes()
    except OSError:  # it has just ended
        return False
