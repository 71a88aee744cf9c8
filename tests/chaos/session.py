"""Scene after scene, from one seed on, and what they cost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import threading
import time
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING

import uvloop

from tests.chaos.draw import draw_scene
from tests.chaos.scene import play
from tests.chaos.traces import hushed
from tests.helpers.apps import LOOPS
from tests.helpers.logs import resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.plan import ScenePlan


@dataclass(frozen=True, slots=True)
class Options:
    """What to run: from ``seed`` on, ``concurrency`` seeds to a scene.

    It ends after ``gangs`` or ``seconds``, whichever comes first; None: that does not matter.
    """

    seed: int
    gangs: int | None = None
    seconds: float | None = None
    concurrency: int = 1
    contained: bool = False
    same: bool = False  # the first scene again and again

    def over(self, tally: Tally) -> bool:
        """Whether that is enough."""
        enough = self.gangs is not None and tally.gangs >= self.gangs
        return enough or (self.seconds is not None and tally.seconds >= self.seconds)


@dataclass(frozen=True, slots=True)
class Failure:
    """A scene that did not go well, and on which loop."""

    scene: ScenePlan
    loop: str
    complaints: list[str]

    @property
    def command(self) -> str:
        """How to see it again."""
        seeds = self.scene.seeds
        crowd = f" --concurrency {len(seeds)}" if len(seeds) > 1 else ""
        return f"python -m tests.chaos --seed {seeds[0]} --gangs 1 --loop {self.loop}{crowd}"

    def __str__(self) -> str:
        return "\n".join([*self.complaints, str(self.scene), f"again: {self.command} [--same --seconds 60]"])


@dataclass(slots=True)
class Tally:
    """What was run so far."""

    seconds: float = 0.0
    scenes: int = 0
    gangs: int = 0
    ranks: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, scene: ScenePlan, seconds: float) -> None:
        """Count ``scene``."""
        self.seconds += seconds
        self.scenes += 1
        self.gangs += len(scene.gangs)
        self.ranks += sum(len(gang.ranks) for gang in scene.gangs)

    def merge(self, other: Tally) -> None:
        """Count what ``other`` has counted."""
        self.seconds += other.seconds
        self.scenes += other.scenes
        self.gangs += other.gangs
        self.ranks += other.ranks
        self.failures += other.failures


@dataclass(frozen=True, slots=True)
class Sample:
    """This process at one moment. Memory is in bytes; the largest of all time is ``rss_max``."""

    seconds: float
    gangs: int
    ranks: int
    failures: int
    rss: int
    rss_max: int
    descriptors: int
    threads: int

    @classmethod
    def now(cls, tally: Tally) -> Sample:
        """Look."""
        return cls(
            seconds=round(tally.seconds, 1),
            gangs=tally.gangs,
            ranks=tally.ranks,
            failures=len(tally.failures),
            rss=resident_bytes(),
            rss_max=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            descriptors=len(os.listdir("/proc/self/fd")) - 1,  # without that of this very listing
            threads=threading.active_count(),
        )


class Session:
    """Plays scenes until the options say that it is enough; ``tally`` counts. Can be continued in another loop.

    ``on_scene`` is called after each, with its failure if it was one.
    """

    def __init__(self, options: Options, loop: str, on_scene: Callable[[Failure | None], None]) -> None:
        self.options = options
        self.loop = loop
        self.tally = Tally()
        self._on_scene = on_scene

    @property
    def over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.options.over(self.tally)

    async def run(self, gangs: int | None = None, *, until_failure: bool = False) -> None:
        """Play on, for about ``gangs`` more; None: to the end."""
        stop_at = None if gangs is None else self.tally.gangs + gangs
        while not self.over and (stop_at is None or self.tally.gangs < stop_at):
            await self._play_next()
            if until_failure and self.tally.failures:
                return

    async def _play_next(self) -> None:
        options = self.options
        first = options.seed + (0 if options.same else self.tally.scenes * options.concurrency)
        scene = draw_scene(range(first, first + options.concurrency), contained=options.contained)
        began = time.monotonic()
        complaints = await play(scene)
        self.tally.add(scene, time.monotonic() - began)
        failure = Failure(scene, self.loop, complaints) if complaints else None
        self.tally.failures += [failure] if failure else []
        self._on_scene(failure)


def warm_up() -> None:
    """Let everybody open what he keeps as long as the process lives: multiprocessing's helpers, libuv's pipe."""
    with hushed():  # the fork server's ranks have its streams
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    multiprocessing.Value("i", 0)
    uvloop.new_event_loop().close()


def loop_name() -> str:
    """The kind of the running loop."""
    return LOOPS[isinstance(asyncio.get_running_loop(), uvloop.Loop)]
