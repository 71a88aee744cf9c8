"""Running a scene: its gangs at the same time in the running loop, then the judgement."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.acts import perform
from tests.chaos.assault import attack
from tests.chaos.deeds import Deeds
from tests.chaos.judge import judge
from tests.chaos.logs import judge_logs
from tests.chaos.stage import Stage
from tests.chaos.traces import Complaints, Traces, own_world, stray_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.plan import Assault, ScenePlan

LONGEST_SCENE = 90.0  # seconds; nothing in any plan takes a tenth of it


async def play(scene: ScenePlan, root: str | None = None) -> list[str]:
    """Run ``scene`` below ``root`` (None: the system's temporary directory); what was wrong with it."""
    directory = Path(tempfile.mkdtemp(prefix="aelastic-chaos-", dir=root))
    try:
        return await _play(scene, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _play(scene: ScenePlan, directory: Path) -> list[str]:
    heard = Complaints()
    with own_world(directory) as console, heard.listening(), _tasks(eager=scene.eager):
        traces = Traces()
        stages = [Stage(gang, directory) for gang in scene.gangs]
        complaints = await _perform_all(stages, scene.assault)
        complaints += await traces.left(stages)
    complaints += heard.all(stages, assaulted=scene.assault is not None)
    shown = console.read_bytes() if len(stages) == 1 else None
    for stage in stages:
        deeds = Deeds.read(stage.deeds)
        complaints += judge(stage, deeds)
        complaints += judge_logs(stage, deeds, directory / "tmp", shown)
    return complaints + stray_files(stages, directory / "tmp")


async def _perform_all(stages: Sequence[Stage], assault: Assault | None) -> list[str]:
    """Every gang to its end; what did not come to one."""
    attacker = asyncio.create_task(attack(assault, stages))
    names = {asyncio.create_task(_perform(stage)): stage.plan.name for stage in stages}
    done, late = await asyncio.wait(names, timeout=LONGEST_SCENE)
    complaints = [f"{names[task]}: {error!r}" for task in done if (error := task.exception()) is not None]
    if late:
        complaints += [f"{names[task]}: has no end\n{_all_stacks()}" for task in late]
    for task in late:
        task.cancel()
    return complaints + await attacker


async def _perform(stage: Stage) -> None:
    await perform(stage)
    await stage.conclude()


def _all_stacks() -> str:
    text = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=text)
    return text.getvalue()


@contextlib.contextmanager
def _tasks(*, eager: bool) -> Iterator[None]:
    """The eager task factory, since Python 3.12; uvloop 0.23 calls it with an argument that it does not take."""
    loop, factory = asyncio.get_running_loop(), getattr(asyncio, "eager_task_factory", None)
    before = loop.get_task_factory()
    if eager and factory is not None and isinstance(loop, asyncio.SelectorEventLoop):
        loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(before)
