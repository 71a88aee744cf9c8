"""3. A rank lets a daemon escape: it is stopped too, unless it is meant to stay; nobody else ever is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aelastic.process.cgroup import own_directory
from tests.helpers.logs import finish
from tests.helpers.ranks import is_alive, line_of, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, ended, in_full, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.kinds import Kind

pytestmark = pytest.mark.asyncio

SLEEPING = "exec sleep 600"
HAS_CGROUPS = own_directory() is not None
needs_cgroups = pytest.mark.skipif(not HAS_CGROUPS, reason="no cgroup v2 directory that can be written to")
each_strong = pytest.mark.parametrize("containment", ["marker", pytest.param("cgroup", marks=needs_cgroups)])


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[Path]:
    """Where an escapee says its pid. At the end of the test it is no more."""
    file = tmp_path / "escapee"
    yield file
    if file.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


@each_kind
@each_strong
async def test_an_escapee_goes_with_the_run(kind: Kind, containment: str, pid_file: Path, tmp_path: Path) -> None:
    args = (str(pid_file),)
    async with ranks(kind, vices.lets_escape, args, logs_specs=redirected(tmp_path), containment=containment) as ctx:
        await line_of(ctx, "ready")
        assert is_alive(int(pid_file.read_text()))
    assert await ended(int(pid_file.read_text()))
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGTERM}
    assert ctx.result.detached == {}


@each_kind
@pytest.mark.parametrize(("ending", "value"), [("exits", 0), ("is killed", signal.SIGKILL)])
async def test_an_escapee_of_a_rank_that_ends_is_gone_with_the_result(
    kind: Kind, ending: str, value: int, pid_file: Path, tmp_path: Path
) -> None:
    args = (str(pid_file), "executes", ending, value)
    async with ranks(kind, vices.lets_escape, args, logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
        assert await ended(int(pid_file.read_text()))
    assert result.is_failed() == bool(value)


@pytest.mark.parametrize(
    "kind",
    ["program", "spawn", pytest.param("fork", marks=needs_cgroups), pytest.param("forkserver", marks=needs_cgroups)],
)
async def test_an_escapee_that_never_executed_anything_goes_too(kind: Kind, pid_file: Path, tmp_path: Path) -> None:
    args = (str(pid_file), "fork")
    async with ranks(kind, vices.lets_escape, args, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "ready")
    assert await ended(int(pid_file.read_text()))


@each_kind
async def test_with_the_group_alone_it_stays(kind: Kind, pid_file: Path, tmp_path: Path) -> None:
    args = (str(pid_file),)
    async with ranks(kind, vices.lets_escape, args, logs_specs=redirected(tmp_path), containment="group") as ctx:
        await line_of(ctx, "ready")
    assert is_alive(int(pid_file.read_text()))


@each_kind
@each_strong
async def test_what_is_meant_to_stay_stays_and_is_told(
    kind: Kind, containment: str, pid_file: Path, tmp_path: Path
) -> None:
    ending = "exits" if containment == "marker" else "stays"
    args, specs = (str(pid_file), "detached", ending), redirected(tmp_path)
    async with ranks(kind, vices.lets_escape, args, logs_specs=specs, containment=containment) as ctx:
        await line_of(ctx, "ready")
        if ending == "exits":
            await ctx.wait()
    assert is_alive(int(pid_file.read_text()))
    assert ctx.result is not None
    assert ctx.result.detached == {0: (int(pid_file.read_text()),)}


@each_strong
async def test_processes_of_the_application_are_left_alone(containment: str) -> None:
    ours = [subprocess.Popen(["/bin/sleep", "600"], start_new_session=new) for new in (False, True)]
    try:
        async with shell("exit 3", SLEEPING, containment=containment) as ctx:
            ours.append(subprocess.Popen(["/bin/sleep", "600"], start_new_session=True))
            await ctx.wait()
        async with shell(SLEEPING, shutdown_timeout=0, containment=containment):
            pass
        assert [one.poll() for one in ours] == [None, None, None]
    finally:
        for one in ours:
            one.kill()
            one.wait()


@each_kind
@each_strong
async def test_the_escapees_of_another_run_are_left_alone(kind: Kind, containment: str, tmp_path: Path) -> None:
    files, vice = [tmp_path / "one", tmp_path / "other"], vices.lets_escape
    specs = redirected(tmp_path)
    async with ranks(kind, vice, (str(files[0]),), logs_specs=specs, containment=containment) as other:
        await line_of(other, "ready")
        specs = redirected(tmp_path)
        async with ranks(kind, vice, (str(files[1]),), logs_specs=specs, containment=containment) as ctx:
            await line_of(ctx, "ready")
        assert await ended(int(files[1].read_text()))
        assert is_alive(int(files[0].read_text()))
    assert await ended(int(files[0].read_text()))


async def test_sixty_four_escapees_go(tmp_path: Path) -> None:
    script = "setsid sh -c 'trap \"\" TERM HUP; echo $$; exec sleep 600' & wait"
    async with shell(*[script] * 64, logs_specs=redirected(tmp_path)) as ctx:
        escapees = [int((await line_of(ctx, "", rank)).text) for rank in range(64)]
        assert all(map(is_alive, escapees))
    assert await ended(*escapees)


DAEMON = "trap '' TERM INT HUP; echo $$; exec > /dev/null sleep 600"


@each_strong
async def test_not_one_of_many_is_missed(containment: str, tmp_path: Path) -> None:
    """Each a chain of programs that executes others while it is looked for."""
    script = f'setsid sh -c "{DAEMON.replace("$", chr(92) + "$")}" & sleep 0.00$(($$ % 10)); exit 0'
    for number in range(in_full(10, 300)):
        specs = redirected(tmp_path / str(number))
        async with shell(script, logs_specs=specs, containment=containment) as ctx:
            result = await finish(ctx)
        said = Path(result.stdouts[0]).read_text()
        assert not said or await ended(int(said))
