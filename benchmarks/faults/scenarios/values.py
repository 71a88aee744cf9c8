"""10: what functions return."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers import functions

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

GIGABYTE = 1_000_000_000


def _memory(field: str) -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


def torch_gigabyte(stage: Stage) -> None:
    """A value of a gigabyte."""
    context = torch_elastic.start(stage, functions.zeros, (GIGABYTE,), start_method="spawn")
    before, began = _memory("VmRSS"), time.monotonic()
    size = len(context.wait().return_values[0])
    stage.note(size=size, seconds=time.monotonic() - began, memory=_memory("VmHWM") - before)


def aelastic_gigabyte(stage: Stage) -> None:
    """A value of a gigabyte."""

    async def main() -> None:
        async with aelastic_.start(stage, functions.zeros, (GIGABYTE,)) as ctx:
            before, began = _memory("VmRSS"), time.monotonic()
            size = len((await ctx.wait()).return_values[0])
            stage.note(size=size, seconds=time.monotonic() - began, memory=_memory("VmHWM") - before)

    aelastic_.run(main())


def tell_gigabyte(seen: Seen) -> str:
    """How long, and how much memory."""
    if "size" not in seen.facts:
        return "it never came" if seen.hung else str(seen.facts.get("raised"))
    memory = seen.facts["memory"] / GIGABYTE
    return f"came in {seen.facts['seconds']:.1f} s, {memory:.1f} GB of the supervisor's memory"


def torch_unpicklable(stage: Stage) -> None:
    """A value that cannot be pickled."""
    result = torch_elastic.start(stage, functions.unpicklable, (), start_method="spawn").wait()
    stage.note(told=str(result.failures[0].message))


def aelastic_unpicklable(stage: Stage) -> None:
    """A value that cannot be pickled."""

    async def main() -> None:
        async with aelastic_.start(stage, functions.unpicklable, ()) as ctx:
            stage.note(told=str((await ctx.wait()).failures[0].message))

    aelastic_.run(main())


def tell_unpicklable(seen: Seen) -> str:
    """Whether the failure says why."""
    told = seen.facts.get("told", "")
    return "the failure has the traceback" if "never to be pickled" in told else f"the failure says: {told[:60]}…"


SCENARIOS: Iterable[Scenario] = (
    Scenario("10 large", "a function returns 1 GB", torch_gigabyte, aelastic_gigabyte, tell_gigabyte, limit=60.0),
    Scenario(
        "10 unpicklable",
        "a function returns what cannot be pickled",
        torch_unpicklable,
        aelastic_unpicklable,
        tell_unpicklable,
    ),
)
