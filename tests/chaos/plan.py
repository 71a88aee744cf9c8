"""What is drawn: values only, legible when printed, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.chaos.content import PLAIN, content

if TYPE_CHECKING:
    from aelastic import Std
    from aelastic.conduct.containment import Mode

Home = Literal["program", "spawn", "fork", "forkserver"]
LONG = 30.0  # seconds; a rest of this length ends only by a signal


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a rank does: a method of ``rank._Rank`` and its arguments."""

    do: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.do}({', '.join(f'{key}={value!r}' for key, value in self.options.items())})"


@dataclass(frozen=True, slots=True)
class RankPlan:
    """The steps of one rank; the last one is ``end``."""

    steps: tuple[Step, ...]

    @property
    def end(self) -> Step:
        """How it ends if it is let."""
        return self.steps[-1]

    @property
    def lasts(self) -> bool:
        """Whether it ends only by a signal."""
        return any(step.do == "freeze" or step.options.get("seconds") == LONG for step in self.steps)

    @property
    def code(self) -> int:
        """The exit code that it chooses."""
        return int(self.end.options.get("code", 0))

    @property
    def how(self) -> str:
        """The kind of its end."""
        return str(self.end.options["how"])

    @property
    def reports(self) -> bool:
        """Whether it spoils its error file."""
        return self.has("report")

    def has(self, *kinds: str) -> bool:
        """Whether it takes a step of these kinds."""
        return any(step.do in kinds for step in self.steps)

    @property
    def writing_children(self) -> bool:
        """Whether others write to its standard error."""
        return any(step.options.get("write") for step in self.steps)

    @property
    def is_plain(self) -> bool:
        """Whether a console shows every line as it is in the file."""
        return all(step.options["kind"] in PLAIN for step in self.steps if step.do == "say")

    def says(self, stream: int) -> bytes:
        """All that it would ever write to ``stream`` itself."""
        options = [step.options for step in self.steps if step.do == "say" and step.options["stream"] == stream]
        return b"".join(content(one["kind"], one["size"], one["salt"]) for one in options)

    def value(self, rank: int) -> object:
        """What comes home of a function that ends well."""
        options = self.end.options
        return (rank, content("binary", options["size"], options["salt"])) if self.how == "value" else None


@dataclass(frozen=True, slots=True)
class LogsPlan:
    """Where the output goes. ``directory``: "own", "temporary" or "none"; the streams are given by rank."""

    directory: str
    redirects: dict[int, Std]
    tee: dict[int, Std]
    filtered: bool

    def captured(self, rank: int) -> Std:
        """The streams of ``rank`` that go to files."""
        none = type(self.tee[rank])(0)
        return none if self.directory == "none" else self.redirects[rank] | self.tee[rank]


@dataclass(frozen=True, slots=True)
class Act:
    """What the application does: ``kind`` is a key of ``acts.ACTS``, ``at`` and ``again`` are in seconds.

    ``signal`` is one to send, to ``rank`` or to all; ``stop_signal`` and ``grace`` go with a request to stop.
    """

    kind: str
    at: float
    again: float = 0.0
    signal: int = 0
    rank: int | None = None
    stop_signal: int = 0
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class Spectator:
    """Somebody who subscribes to ``logs`` or ``events`` and leaves after ``items`` of them; 0: stays to the end."""

    what: str
    items: int


@dataclass(frozen=True, slots=True)
class GangPlan:
    """One call of ``start_processes`` and what becomes of it. ``broken``: why it cannot start, ``""`` if it can."""

    name: str
    home: Home
    asynchronous: bool
    ranks: tuple[RankPlan, ...]
    logs: LogsPlan
    act: Act
    options: dict[str, Any]
    containment: Mode | None = None
    spectators: tuple[Spectator, ...] = ()
    broken: str = ""

    @property
    def ends_by_itself(self) -> bool:
        """Whether a wait has an end without anybody's doing."""
        lasting = [rank for rank in self.ranks if rank.lasts]
        return not lasting or any(self.fails(number) for number in range(len(self.ranks)))

    def fails(self, rank: int) -> bool:
        """Whether the end of ``rank``, if it is let, is a failure."""
        plan = self.ranks[rank]
        undelivered = self.home != "program" and plan.how in ("_exit", "unpicklable", "loads badly")
        return not plan.lasts and (plan.code != 0 or undelivered)

    def spec(self, rank: int, deeds: str) -> str:
        """What the rank is told."""
        steps = [(step.do, step.options) for step in self.ranks[rank].steps]
        return json.dumps({"rank": rank, "deeds": deeds, "steps": steps})

    def __str__(self) -> str:
        kind = f"async {self.home}" if self.asynchronous else self.home
        lines = [f"{self.name}: {kind}, {self.act}, broken={self.broken!r}, {self.spectators}"]
        lines.append(f"    {self.options}, containment={self.containment!r}, {self.logs}")
        lines += [f"    rank {number}: {'; '.join(map(str, rank.steps))}" for number, rank in enumerate(self.ranks)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Assault:
    """The guardian gets ``signal`` after ``at`` seconds."""

    at: float
    signal: int


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """Gangs that run in one loop at the same time. ``eager``: with the loop's eager task factory, where there is one.

    ``seeds``: what it was drawn from.
    """

    seeds: tuple[int, ...]
    gangs: tuple[GangPlan, ...]
    eager: bool = False
    assault: Assault | None = None

    def __str__(self) -> str:
        return "\n".join([f"scene of seeds {self.seeds}, eager={self.eager}, {self.assault}", *map(str, self.gangs)])
