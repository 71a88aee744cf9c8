"""What a scene leaves behind in this process and on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.cell import control_groups
from tests.chaos.deeds import Deeds
from tests.chaos.stage import MARK
from tests.helpers.apps import marked
from tests.helpers.leaks import Belongings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.chaos.stage import Stage

PATIENCE = 5.0  # seconds for what has been told to go, on a busy machine
_WORTH_A_COMPLAINT = logging.WARNING
_GUARDIANS_DEATH = "the guardian of the ranks has ended"


class Complaints(logging.Handler):
    """Collects what is said where nobody should have anything to say."""

    def __init__(self) -> None:
        super().__init__(_WORTH_A_COMPLAINT)
        self.texts: list[str] = []
        self.warnings: list[warnings.WarningMessage] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log record."""
        self.texts.append(f"log: {record.name}: {self.format(record)}")

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the loop, the log, the threads, the collector, and warnings."""
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler(), sys.unraisablehook, threading.excepthook
        loop.set_exception_handler(lambda _, context: self.texts.append(f"loop: {context}"))
        sys.unraisablehook = lambda unraisable: self.texts.append(f"unraisable: {unraisable}")
        threading.excepthook = lambda args: self.texts.append(f"thread: {args}")
        logging.getLogger().addHandler(self)
        try:
            with warnings.catch_warnings(record=True) as self.warnings:
                warnings.simplefilter("always")
                yield
        finally:
            logging.getLogger().removeHandler(self)
            handler, sys.unraisablehook, threading.excepthook = before
            loop.set_exception_handler(handler)

    def all(self, stages: Sequence[Stage], *, assaulted: bool) -> list[str]:
        """What was heard and should not have been; ``assaulted``: somebody has killed the guardian."""
        dropped = {f"run {stage.plan.name!r} was dropped without being closed" for stage in stages if _drops(stage)}
        forks = any(stage.plan.home == "fork" for stage in stages)
        heard = [one for one in self.warnings if str(one.message) not in dropped]
        if forks:
            heard = [one for one in heard if not str(one.message).startswith("start_method='fork'")]
        texts = [text for text in self.texts if not (assaulted and _GUARDIANS_DEATH in text)]
        return texts + [f"warning: {one.category.__name__}: {one.message}" for one in heard]


def _drops(stage: Stage) -> bool:
    return stage.plan.act.kind == "drops"


@contextlib.contextmanager
def own_world(directory: Path) -> Iterator[Path]:
    """Temporary files, console and standard streams below ``directory``; the path of the console."""
    temporary, console = directory / "tmp", directory / "console"
    temporary.mkdir()
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    try:
        with open(console, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file), hushed():
            yield console
    finally:
        tempfile.tempdir = before[1]
        os.environ.pop("TMPDIR")
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Ranks without logs write to our descriptors: nobody wants to read that."""
    kept = {number: os.dup(number) for number in (1, 2)}
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in kept:
            os.dup2(null, number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)


class Traces:
    """What there was before the scene, to be compared with what is there after it."""

    def __init__(self) -> None:
        self._belongings = Belongings.now()
        self._tasks = asyncio.all_tasks()

    async def left(self, stages: Sequence[Stage]) -> list[str]:
        """What is left, after as much time as it needs to go, but no more than ``PATIENCE``. Survivors are killed."""
        deadline = time.monotonic() + PATIENCE
        while (left := self._look(stages)) and time.monotonic() < deadline:
            gc.collect()
            await asyncio.sleep(0.02)
        left += [f"now {time.monotonic()}, deeds:\n{Path(stage.deeds).read_text()}" for stage in stages if left]
        for stage in stages:
            stage.outlived = Deeds.read(stage.deeds).alive("detached")
            kill(survivors(stage) | stage.tolerated())
        return left

    def _look(self, stages: Sequence[Stage]) -> list[str]:
        tasks = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
        found = [pid for stage in stages for pid in survivors(stage) - stage.tolerated()]
        return [
            *(f"process {describe(pid)}" for pid in found),
            *self._belongings.left(),
            *(f"task {task}" for task in tasks),
            *(f"control group {path}" for path in control_groups()),
        ]


def survivors(stage: Stage) -> set[int]:
    """Processes of the gang: by their mark, and, since a fork does not show it, by what they said of themselves."""
    told = Deeds.read(stage.deeds).alive("born", "escaped", "detached")
    return {*marked(MARK, stage.mark), *(pid for _, pid in told)}


def kill(pids: Iterable[int]) -> None:
    """Those that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def describe(pid: int) -> str:
    """What can be said about a process."""
    facts: list[Any] = [pid]
    for name in ("cmdline", "stat", "wchan"):
        with contextlib.suppress(OSError):
            facts.append(Path(f"/proc/{pid}/{name}").read_bytes()[:200])
    return str(facts)


def stray_files(stages: Sequence[Stage], temporary: Path) -> list[str]:
    """Files that nobody has announced: of a temporary log directory stays what ranks wrote, and no empty directory."""
    allowed = {"stdout.log", "stderr.log", "error.json", "filtered_stdout.log", "filtered_stderr.log"}
    entries = [entry for entry in temporary.rglob("*") if not _is_expected(entry, allowed)]
    expected = sum(stage.plan.logs.directory == "temporary" and not stage.plan.broken for stage in stages)
    strays = [f"left in the temporary directory: {entry}" for entry in entries]
    if len(list(temporary.glob("aelastic_*"))) > expected:
        strays.append(f"more temporary log directories than runs: {list(temporary.iterdir())}")
    return strays


def _is_expected(entry: Path, allowed: set[str]) -> bool:
    if entry.parent.name.isdigit() and entry.name.startswith("error.json."):
        return True  # its rank was killed while it wrote
    if entry.is_dir() and not entry.is_symlink():
        return any(entry.iterdir()) or entry.name == "error.json"
    return entry.name in allowed
