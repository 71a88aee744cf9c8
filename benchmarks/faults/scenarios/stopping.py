"""6 and 15: how long ranks get that are told to end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

GRACE = 2
DEAF = "from tests.scenarios.vices import ignores_the_polite; ignores_the_polite()"
FAILS = "import sys; sys.stdin.read(); import time; time.sleep(1); sys.exit(3)"


def torch_grace(stage: Stage) -> None:
    """A deaf rank: closed with a grace, and stopped because its peer fails. wait() takes no grace."""
    context = torch_elastic.python(stage, DEAF)
    stage.wait_for("ready", context.stdouts.values())
    began = time.monotonic()
    context.close(timeout=GRACE)
    stage.note(closed=time.monotonic() - began)
    context = torch_elastic.python(stage, DEAF, FAILS)
    stage.wait_for("ready", [context.stdouts[0]])
    began = time.monotonic()
    context.wait()
    stage.note(failed=time.monotonic() - began - 1)


def aelastic_grace(stage: Stage) -> None:
    """The same with ``shutdown_timeout``."""

    async def main() -> None:
        ctx = await aelastic_.python(stage, DEAF, shutdown_timeout=GRACE)
        await asyncio.to_thread(stage.wait_for, "ready", ctx.stdouts.values())
        began = time.monotonic()
        await ctx.close()
        stage.note(closed=time.monotonic() - began)
        ctx = await aelastic_.python(stage, DEAF, FAILS, shutdown_timeout=GRACE)
        await asyncio.to_thread(stage.wait_for, "ready", [ctx.stdouts[0]])
        began = time.monotonic()
        await ctx.wait()
        stage.note(failed=time.monotonic() - began - 1)

    aelastic_.run(main())


def tell_grace(seen: Seen) -> str:
    """How long a deaf rank had on each path."""
    failed = f"{seen.facts['failed']:.0f} s" if "failed" in seen.facts else f"more than {seen.seconds:.0f} s"
    return f"killed {seen.facts['closed']:.1f} s after close(), {failed} after a peer failed"


SCENARIOS: Iterable[Scenario] = (
    Scenario(
        "06",
        "who closes is cancelled",
        "close() is not awaitable: nothing can be cancelled",
        lambda stage: _aelastic_cancelled_close(stage),
        lambda seen: f"the rank is killed {seen.facts['seconds']:.2f} s later; another close() changes nothing",
    ),
    Scenario(
        "15",
        f"a deaf rank that is to get {GRACE} s, on two paths",
        torch_grace,
        aelastic_grace,
        tell_grace,
        limit=60.0,
    ),
)


def _aelastic_cancelled_close(stage: Stage) -> None:
    async def main() -> None:
        ctx = await aelastic_.python(stage, DEAF, shutdown_timeout=600)
        await asyncio.to_thread(stage.wait_for, "ready", ctx.stdouts.values())
        closing = asyncio.create_task(ctx.close())
        await asyncio.sleep(1)
        began = time.monotonic()
        closing.cancel()
        await asyncio.wait({closing})
        stage.note(seconds=time.monotonic() - began)
        result = ctx.result
        await ctx.close()
        assert ctx.result is result

    aelastic_.run(main())
