"""1 to 3: what is left of ranks, and of what they have started."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.scenarios import vices

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

PARTS = ("sleeps", "is deaf", "is stuck", "sleeps")
HEADS = [f"from tests.scenarios.vices import heads_family; heads_family({part!r})" for part in PARTS]
PROCESSES = 3 * len(PARTS)

LEAVES_FAMILY = (
    "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('ready', flush=True); sys.exit(3)",
    "import time; time.sleep(600)",
)
LETS_ESCAPE = (
    "import subprocess, time; subprocess.Popen(['sleep', '600'], start_new_session=True); print('ready', flush=True)\n"
    "while True: time.sleep(0.05)"
)


def _torch_waits(stage: Stage, context: Any) -> None:
    stage.wait_for("family", context.stdouts.values())
    stage.note(ready=True)
    context.wait()


def _aelastic_waits(stage: Stage, starting: Any) -> None:
    async def main() -> None:
        async with starting as ctx:
            await asyncio.to_thread(stage.wait_for, "family", ctx.stdouts.values())
            stage.note(ready=True)
            await ctx.wait()

    aelastic_.run(main())


def torch_heads_programs(stage: Stage) -> None:
    """Programs with families; then wait."""
    _torch_waits(stage, torch_elastic.python(stage, *HEADS))


def aelastic_heads_programs(stage: Stage) -> None:
    """Programs with families; then wait."""
    _aelastic_waits(stage, aelastic_.python(stage, *HEADS))


def torch_heads_functions(stage: Stage) -> None:
    """Functions with families; then wait."""
    parts = [(part,) for part in PARTS]
    _torch_waits(stage, torch_elastic.start(stage, vices.heads_family, *parts, start_method="spawn"))


def aelastic_heads_functions(stage: Stage) -> None:
    """Functions with families; then wait."""
    _aelastic_waits(stage, aelastic_.start(stage, vices.heads_family, *[(part,) for part in PARTS]))


def kill(supervisor: subprocess.Popen[bytes]) -> None:
    """As the kernel does when memory is short."""
    supervisor.kill()


def tell_survivors(seen: Seen) -> str:
    """How many of the families."""
    return f"{seen.survivors} of {PROCESSES} processes still run a second later"


def torch_leaves_family(stage: Stage) -> None:
    """A rank fails and leaves a child."""
    result = torch_elastic.python(stage, *LEAVES_FAMILY).wait()
    stage.note(failed=sorted(result.failures))


def aelastic_leaves_family(stage: Stage) -> None:
    """A rank fails and leaves a child."""

    async def main() -> None:
        async with aelastic_.python(stage, *LEAVES_FAMILY) as ctx:
            result = await ctx.wait()
            stage.note(failed=sorted(result.failures))

    aelastic_.run(main())


def torch_lets_escape(stage: Stage) -> None:
    """A rank has a child in another session; then it is closed."""
    context = torch_elastic.python(stage, LETS_ESCAPE)
    stage.wait_for("ready", context.stdouts.values())
    context.close()


def aelastic_lets_escape(stage: Stage) -> None:
    """A rank has a child in another session; then it is closed."""

    async def main() -> None:
        async with aelastic_.python(stage, LETS_ESCAPE) as ctx:
            await asyncio.to_thread(stage.wait_for, "ready", ctx.stdouts.values())

    aelastic_.run(main())


def tell_left(seen: Seen) -> str:
    """Whether anything is left."""
    return seen.left


SCENARIOS: Iterable[Scenario] = (
    Scenario(
        "01 programs",
        "the supervisor is killed; four programs, each with two children, one deaf, one stuck in C",
        torch_heads_programs,
        aelastic_heads_programs,
        tell_survivors,
        meddle=kill,
    ),
    Scenario(
        "01 functions",
        "the same with functions",
        torch_heads_functions,
        aelastic_heads_functions,
        tell_survivors,
        meddle=kill,
    ),
    Scenario("02", "a rank crashes and leaves a child", torch_leaves_family, aelastic_leaves_family, tell_left),
    Scenario("03", "a rank has a child in a session of its own", torch_lets_escape, aelastic_lets_escape, tell_left),
)
