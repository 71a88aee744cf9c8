"""What a scenario is, and what is seen of it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

Facts: TypeAlias = dict[str, Any]

_PATIENCE = 30.0


class Stage:
    """A directory for one performance. What is noted is kept, whatever happens then."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._facts: Facts = {}

    def path(self, name: str) -> str:
        """A path in the directory."""
        return str(self.directory / name)

    def note(self, **facts: Any) -> None:
        """Remember facts."""
        self._facts.update(facts)
        self.directory.joinpath("facts.tmp").write_text(json.dumps(self._facts))
        os.replace(self.directory / "facts.tmp", self.directory / "facts.json")

    def noted(self) -> Facts:
        """All that was noted, by whoever it was."""
        path = self.directory / "facts.json"
        facts: Facts = json.loads(path.read_text()) if path.exists() else {}
        return facts

    def wait_for(self, text: str, paths: Iterable[str]) -> None:
        """Until ``text`` is in every file."""
        deadline = time.monotonic() + _PATIENCE
        for path in paths:
            while not os.path.exists(path) or text not in open(path, errors="replace").read():  # noqa: SIM115
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no {text!r} in {path}")
                time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a performance from outside, and what it noted itself.

    ``survivors``: processes that were left, but for the supervisor itself; ``hung``: the time limit ended it.
    """

    facts: Facts
    survivors: int
    hung: bool
    seconds: float
    exitcode: int | None
    output: str = ""

    @property
    def left(self) -> str:
        """The survivors, in words."""
        number = {0: "nothing is", 1: "1 process is"}.get(self.survivors, f"{self.survivors} processes are")
        return f"{number} left"


class Act(Protocol):
    """What one contender does in a scenario."""

    def __call__(self, stage: Stage, /) -> None:
        """Do it, and note what is to be told."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    ``torch`` and ``aelastic`` run in an interpreter of their own; a text says why one makes no sense. ``meddle`` is
    called outside, with the supervisor, once that has noted ``ready``. ``tell`` puts what was seen into words.
    """

    name: str
    title: str
    torch: Act | str
    aelastic: Act
    tell: Callable[[Seen], str]
    limit: float = 30.0
    meddle: Callable[[subprocess.Popen[bytes]], None] | None = None
    tags: frozenset[str] = field(default_factory=frozenset)
