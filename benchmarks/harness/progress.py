"""How far it is, for people that wait: a bar where rich and a terminal are there, else lines."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any, Protocol


class Progress(Protocol):
    """Told of every trial before it begins."""

    def step(self, text: str) -> None:
        """``text`` is what is measured now."""

    def close(self) -> None:
        """All is done."""


class Lines:
    """One line for each trial, on standard error."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        """Print it."""
        self._done += 1
        print(
            f"{time.monotonic() - self._began:5.0f} s  {self._done}/{self._total}  {text}", file=sys.stderr, flush=True
        )

    def close(self) -> None:
        """Nothing to do."""


class Bar:
    """rich's."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns: list[Any] = [BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
        self._progress = RichProgress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))
        self._task = self._progress.add_task("", total=total)
        self._started = False
        self._progress.start()

    def step(self, text: str) -> None:
        """Move it."""
        self._progress.update(self._task, advance=1 if self._started else 0, description=text)
        self._started = True

    def close(self) -> None:
        """Take it away."""
        self._progress.stop()


def progress(total: int) -> Progress:
    """What suits standard error."""
    return Bar(total) if sys.stderr.isatty() and find_spec("rich") else Lines(total)
