"""18: output that is hard to show."""

from __future__ import annotations

import contextlib
import io
import threading
from typing import TYPE_CHECKING, Any

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

HALVES = "import os, time; os.write(1, b'abc'); time.sleep(0.5); os.write(1, b'def\\n')"
PROGRESS = """
import os, time
for percent in range(101):
    os.write(1, b"\\r%3d%%" % percent)
    time.sleep(0.01)
os.write(1, b"\\n")
"""
SLEEPS = "import time\nwhile True: time.sleep(0.05)"
MANY = 16


def torch_lines(stage: Stage) -> None:
    """Half a line, and a progress bar."""
    from torch.distributed.elastic.multiprocessing import Std

    for name, script in (("halves", HALVES), ("progress", PROGRESS)):
        with contextlib.redirect_stdout(io.StringIO()) as console:
            torch_elastic.python(stage, script, tee=Std.OUT).wait()
        stage.note(**{name: console.getvalue()})


def aelastic_lines(stage: Stage) -> None:
    """Half a line, and a progress bar."""
    import aelastic

    async def main(name: str, script: str) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as console:
            async with aelastic_.python(stage, script, tee=aelastic.Std.OUT) as ctx:
                await ctx.wait()
        stage.note(**{name: console.getvalue()})

    aelastic_.run(main("halves", HALVES))
    aelastic_.run(main("progress", PROGRESS))


def tell_lines(seen: Seen) -> str:
    """What the line became, and how many lines the progress bar."""
    progress = seen.facts["progress"]
    lines = len([one for one in progress.replace("\r", "\n").split("\n") if one.strip()])
    return f"the line is shown as {seen.facts['halves']!r}; 101 updates of a progress bar as {lines} lines"


def torch_threads(stage: Stage) -> None:
    """Sixteen ranks whose output is shown."""
    from torch.distributed.elastic.multiprocessing import Std

    before = threading.active_count()
    context = torch_elastic.python(stage, *[SLEEPS] * MANY, tee=Std.ALL)
    stage.note(threads=threading.active_count() - before)
    context.close()


def aelastic_threads(stage: Stage) -> None:
    """Sixteen ranks whose output is shown."""
    import aelastic

    async def main() -> Any:
        before = threading.active_count()
        async with aelastic_.python(stage, *[SLEEPS] * MANY, tee=aelastic.Std.ALL):
            watching = len([one for one in threading.enumerate() if one.name.startswith("asyncio-waitpid")])
            stage.note(threads=threading.active_count() - before - watching, watching=watching)

    aelastic_.run(main())


def tell_threads(seen: Seen) -> str:
    """How many."""
    watching = seen.facts.get("watching")
    return f"{seen.facts['threads']} threads" + (f" (and {watching} of asyncio's own, on 3.11)" if watching else "")


SCENARIOS: Iterable[Scenario] = (
    Scenario("18 lines", "a line in halves; a progress bar", torch_lines, aelastic_lines, tell_lines),
    Scenario("18 threads", f"{MANY} ranks whose output is shown", torch_threads, aelastic_threads, tell_threads),
)
