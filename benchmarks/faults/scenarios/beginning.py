"""12 and 13: starts that fail half-way, and starts from threads that end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.scenarios import vices

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

COUNT, BAD = 8, 5
SECONDS = [("6" * 200_000 if rank == BAD else "600",) for rank in range(COUNT)]  # one is too long for the kernel
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
PATIENCE = 5.0


# 12


def torch_half_started(stage: Stage) -> None:
    """Rank 5 of 8 cannot be executed."""
    torch_elastic.start(stage, "/bin/sleep", *SECONDS)


def aelastic_half_started(stage: Stage) -> None:
    """Rank 5 of 8 cannot be executed."""

    async def main() -> None:
        await aelastic_.start(stage, "/bin/sleep", *SECONDS)

    aelastic_.run(main())


def tell_half_started(seen: Seen) -> str:
    """What was raised, what is left."""
    return f"raised {seen.facts.get('raised', 'nothing')[:100]}; {seen.left}"


# 13


def torch_dying_thread(stage: Stage) -> None:
    """A function is started, and is ready, in a thread that ends."""
    contexts: list[Any] = []

    def work() -> None:
        context = torch_elastic.start(stage, vices.ready_and_stays, (), start_method="spawn")
        stage.wait_for("ready", context.stdouts.values())
        contexts.append(context)

    _in_thread(work)
    (context,) = contexts
    began = time.monotonic()
    result = context.wait(PATIENCE)
    stage.note(seconds=time.monotonic() - began, result=str(result), alive=_is_alive(context.pids()[0]))


def aelastic_dying_thread(stage: Stage) -> None:
    """The same; the loop goes on in another thread."""
    contexts: list[Any] = []
    loop = asyncio.new_event_loop()

    async def start() -> None:
        ctx = await aelastic_.start(stage, vices.ready_and_stays, ())
        await asyncio.to_thread(stage.wait_for, "ready", ctx.stdouts.values())
        contexts.append(ctx)

    async def wait() -> None:
        (ctx,) = contexts
        began = time.monotonic()
        result = await ctx.wait(PATIENCE)
        stage.note(seconds=time.monotonic() - began, result=str(result), alive=_is_alive(ctx.pids()[0]))
        await ctx.close()

    _in_thread(lambda: loop.run_until_complete(start()))
    loop.run_until_complete(wait())


def _in_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tell_dying_thread(seen: Seen) -> str:
    """What became of the rank, and whether anybody was told."""
    if seen.facts["alive"]:
        return "the rank lives"
    told = "nothing" if seen.facts["result"] == "None" else seen.facts["result"]
    return f"the rank was killed when the thread ended; wait({PATIENCE:.0f}) tells {told}"


def torch_handlers(stage: Stage) -> None:
    """A run, from start to close, in an application with handlers of its own."""
    _note_handlers(stage, lambda: torch_elastic.start(stage, "/bin/sleep", ("600",)).close())


def aelastic_handlers(stage: Stage) -> None:
    """The same."""

    async def main() -> None:
        async with aelastic_.start(stage, "/bin/sleep", ("600",)):
            pass

    _note_handlers(stage, lambda: aelastic_.run(main()))


def _note_handlers(stage: Stage, work: Callable[[], None]) -> None:
    def own(number: int, frame: Any) -> None:
        """The application's."""

    for number in SIGNALS:
        signal.signal(number, own)
    with contextlib.suppress(Exception):
        work()
    replaced = [number.name for number in SIGNALS if signal.getsignal(number) is not own]
    stage.note(replaced=replaced)


def tell_handlers(seen: Seen) -> str:
    """Which are not the application's any more."""
    replaced = seen.facts["replaced"]
    return f"{', '.join(replaced)} still replaced after close()" if replaced else "all as before"


SCENARIOS: Iterable[Scenario] = (
    Scenario("12", "rank 5 of 8 cannot be started", torch_half_started, aelastic_half_started, tell_half_started),
    Scenario(
        "13 ranks",
        "a function is started from a thread that ends",
        torch_dying_thread,
        aelastic_dying_thread,
        tell_dying_thread,
    ),
    Scenario("13 handlers", "the application has signal handlers", torch_handlers, aelastic_handlers, tell_handlers),
)
