"""4 to 7: waiting for ranks, and no longer waiting for them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOLDS_PIPE = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True); print('said')"
SLEEPS = "import time\nwhile True: time.sleep(0.05)"
RUNS = 20

FREEZER = Path("/sys/fs/cgroup/freezer")
GRACE = 1


# 4


def torch_holds_pipe(stage: Stage) -> None:
    """Shown and logged: torch reads the file, so nobody can hold a pipe."""
    from torch.distributed.elastic.multiprocessing import Std

    began = time.monotonic()
    context = torch_elastic.python(stage, HOLDS_PIPE, tee=Std.ALL)
    result = context.wait()
    stage.note(seconds=time.monotonic() - began, said="said" in Path(result.stdouts[0]).read_text())


def aelastic_holds_pipe(stage: Stage) -> None:
    """Shown and logged."""
    import aelastic

    async def main() -> None:
        began = time.monotonic()
        async with aelastic_.python(stage, HOLDS_PIPE, tee=aelastic.Std.ALL) as ctx:
            result = await ctx.wait()
        stage.note(seconds=time.monotonic() - began, said="said" in Path(result.stdouts[0]).read_text())

    aelastic_.run(main())


def tell_held(seen: Seen) -> str:
    """How long it took, what is left."""
    if "seconds" not in seen.facts:
        return "wait() never returned"
    words = "its output is complete" if seen.facts["said"] else "its output is lost"
    return f"wait() returned after {seen.facts['seconds']:.2f} s, {words}, {seen.left}"


# 5


def torch_cancelled(stage: Stage) -> None:
    """A blocking interface is awaited in threads; the tasks are cancelled."""

    async def supervise(number: int) -> None:
        await asyncio.to_thread(lambda: torch_elastic.python(Stage(stage.directory / str(number)), SLEEPS).wait())

    _cancel_all(stage, supervise)


def aelastic_cancelled(stage: Stage) -> None:
    """The tasks are cancelled."""

    async def supervise(number: int) -> None:
        async with aelastic_.python(Stage(stage.directory / str(number)), SLEEPS) as ctx:
            await ctx.wait()

    _cancel_all(stage, supervise)


def _cancel_all(stage: Stage, supervise: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(RUNS))
        for number in range(RUNS):
            (stage.directory / str(number)).mkdir()
        tasks = [asyncio.create_task(supervise(number)) for number in range(RUNS)]
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        stage.note(cancelled=sum(task.cancelled() for task in tasks))

    aelastic_.run(main())


def tell_cancelled(seen: Seen) -> str:
    """What became of the ranks, and of the application."""
    end = "the application cannot end" if seen.hung else "the application ends"
    left = f"{seen.survivors} processes go on" if seen.survivors else "nothing is left"
    return f"{seen.facts.get('cancelled', 0)} tasks of {RUNS} cancelled, {left}, {end}"


# 7


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process in a frozen control group (v1), where not even SIGKILL ends it."""
    group = FREEZER / f"faults-{secrets.token_hex(4)}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
    try:
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        (FREEZER / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def torch_unreapable(stage: Stage) -> None:
    """One rank of two is frozen; both are closed."""
    context = torch_elastic.python(stage, SLEEPS, SLEEPS)
    with frozen(context.pids()[1]):
        began = time.monotonic()
        context.close(timeout=GRACE)
        stage.note(seconds=time.monotonic() - began)


def aelastic_unreapable(stage: Stage) -> None:
    """One rank of two is frozen; both are closed."""

    async def main() -> None:
        ctx = await aelastic_.python(stage, SLEEPS, SLEEPS)
        with frozen(ctx.pids()[1]):
            began = time.monotonic()
            await ctx.close(timeout=GRACE)
            stage.note(seconds=time.monotonic() - began, abandoned=ctx.result.abandoned)

    aelastic_.run(main())


def tell_unreapable(seen: Seen) -> str:
    """How long close took, and what is known."""
    if "seconds" not in seen.facts:
        return f"not tried here: {seen.facts.get('raised', 'it hung')}"
    told = [f"result.abandoned names rank {rank}" for rank in seen.facts.get("abandoned", ())]
    told += ["the log names it"] if "did not e" in seen.output else []  # did not exit after, did not end even after
    return f"close(timeout={GRACE}) returned after {seen.facts['seconds']:.1f} s; {', '.join(told) or 'nobody is told'}"


SCENARIOS: Iterable[Scenario] = (
    Scenario(
        "04",
        "a rank ends well, a child of it holds its output open",
        torch_holds_pipe,
        aelastic_holds_pipe,
        tell_held,
    ),
    Scenario(
        "05",
        f"{RUNS} tasks that wait for ranks are cancelled",
        torch_cancelled,
        aelastic_cancelled,
        tell_cancelled,
        limit=40.0,
    ),
    Scenario(
        "07",
        "a rank that SIGKILL does not end (frozen)",
        torch_unreapable,
        aelastic_unreapable,
        tell_unreapable,
    ),
)
