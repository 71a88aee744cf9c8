"""What left its rank's process group is found at the end of the run, and nobody else is touched."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.conduct import control_groups
from aelastic.process import marker
from aelastic.process.cgroup import own_directory
from tests.helpers.apps import has_ended
from tests.helpers.ranks import is_alive, line_of, redirected, shell

if TYPE_CHECKING:
    from aelastic.conduct.containment import Mode

pytestmark = pytest.mark.asyncio

HAS_CGROUPS = own_directory() is not None
needs_cgroups = pytest.mark.skipif(not HAS_CGROUPS, reason="no cgroup v2 directory that can be written to")
STRONG = [pytest.param("marker"), pytest.param("cgroup", marks=needs_cgroups)]

SLEEPING = "exec sleep 600"


def leaving(before: str = "") -> str:
    """A script that starts a deaf process in a session of its own, with nothing open, and then says its pid."""
    deaf = r"trap '' TERM INT HUP; echo \$\$; exec >/dev/null sleep 600"
    return f'pid=$({before} setsid /bin/sh -c "{deaf}" </dev/null 2>/dev/null &); echo escaped $pid; '


async def escaped_from(ctx: aelastic.PContext, rank: int = 0) -> int:
    """The pid that the script said."""
    return int((await line_of(ctx, "escaped", rank)).text.split()[1])


async def is_member(pid: int) -> None:
    """Wait until the rank is in its control group."""
    while "aelastic-" not in Path(f"/proc/{pid}/cgroup").read_text():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)


@needs_cgroups
async def test_in_a_control_group_it_goes_when_its_rank_ends(tmp_path: Path) -> None:
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; {leaving()}"
    async with shell(script, SLEEPING, logs_specs=redirected(tmp_path), containment="cgroup") as ctx:
        await is_member(ctx.pids()[0])
        (tmp_path / "go").touch()
        assert await asyncio.to_thread(has_ended, await escaped_from(ctx))
        assert is_alive(ctx.pids()[1])


@needs_cgroups
async def test_a_control_group_holds_what_has_lost_its_environment(tmp_path: Path) -> None:
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; {leaving('env -i')} {SLEEPING}"
    async with shell(script, logs_specs=redirected(tmp_path), containment="cgroup") as ctx:
        await is_member(ctx.pids()[0])
        (tmp_path / "go").touch()
        escaped = await escaped_from(ctx)
    assert has_ended(escaped)


@pytest.mark.parametrize("mode", STRONG)
async def test_the_ranks_of_a_detached_application_are_not_detached(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(marker.DETACH, "1")
    async with shell(leaving() + SLEEPING, logs_specs=redirected(tmp_path), containment=mode) as ctx:
        escaped = await escaped_from(ctx)
    assert has_ended(escaped)


@pytest.mark.parametrize("mode", STRONG)
async def test_what_a_rank_of_a_rank_leaves_goes_with_the_outer_run(mode: Mode, tmp_path: Path) -> None:
    inner = (
        "import asyncio, sys, aelastic\n"
        "async def main():\n"
        f"    args = {{0: ('-c', {leaving() + SLEEPING!r})}}\n"
        "    ctx = await aelastic.start_processes('i', '/bin/sh', args, {0: {}})\n"
        "    await ctx.wait()\n"
        "asyncio.run(main())\n"
    )
    async with aelastic.start_processes(
        "o",
        sys.executable,
        {0: ("-c", inner)},
        {0: {}},
        logs_specs=redirected(tmp_path),
        containment=mode,
        shutdown_timeout=0,
    ) as ctx:
        escaped = await escaped_from(ctx)
    assert has_ended(escaped)


@needs_cgroups
async def test_no_control_group_is_left(tmp_path: Path) -> None:
    async with shell(leaving() + SLEEPING, SLEEPING, logs_specs=redirected(tmp_path), containment="cgroup") as ctx:
        await escaped_from(ctx)
        await is_member(ctx.pids()[0])
        parent, own = own_directory(), Path(f"/proc/{ctx.pids()[0]}/cgroup").read_text()
        assert parent is not None
        directory = Path(parent, re.search(r"aelastic-\w+", own).group())  # type: ignore[union-attr]
        assert directory.exists()
    while directory.exists():  # noqa: ASYNC110 - it is removed in a thread that nobody waits for
        await asyncio.sleep(0.01)


async def test_without_control_groups_the_marker_is_the_strongest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(control_groups, "own_directory", lambda: None)
    with caplog.at_level(logging.DEBUG, logger="aelastic"):
        async with shell("exit 0") as ctx:
            pass
    assert ctx.containment == "marker"
    assert "containment: marker" in caplog.messages


async def test_a_containment_that_cannot_be_had_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "own_directory", lambda: None)
    with pytest.raises(aelastic.InvalidArgumentError, match="containment='cgroup': there is no cgroup v2 directory"):
        await shell("exit 0", containment="cgroup")


async def test_a_group_that_cannot_be_made_leaves_the_marker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(control_groups, "own_directory", lambda: str(tmp_path))  # no cgroup file system
    async with shell("exit 0") as ctx:
        pass
    assert ctx.containment == "marker"
    assert list(tmp_path.iterdir()) == []


async def test_an_unknown_containment_is_refused_at_once() -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="containment: expected 'group', 'marker', 'cgroup'"):
        shell("exit 0", containment="jail")


EXECUTES = "trap 'exec sleep 600' USR1; echo ready; while :; do sleep 0.01; done"


async def test_a_process_that_executes_another_program_while_it_is_looked_at_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was opened before shows the environment of a memory that is no more: nothing."""

    def open_and_let_it_execute(path: str, *args: Any, **options: Any) -> Any:
        file = open(path, *args, **options)  # noqa: SIM115 - as the real one
        if path == f"/proc/{pid}/environ" and not is_sleep(pid):
            os.kill(pid, signal.SIGUSR1)
            while not is_sleep(pid):
                time.sleep(0.001)
        return file

    async with shell(EXECUTES, logs_specs=redirected(tmp_path), containment="marker") as ctx:
        pid = ctx.pids()[0]
        await line_of(ctx, "ready")
        monkeypatch.setattr(marker, "open", open_and_let_it_execute, raising=False)
        assert ctx._run is not None
        assert marker.Quarry(ctx._run.containment._run, 0).look(pid).rank == 0


def is_sleep(pid: int) -> bool:
    """Whether the process has become that, and waits."""
    name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
    return name == "sleep" and rest.startswith("S")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopped_rank_gets_to_hear_that_it_must_end(signal_number: int, tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 7' TERM INT; echo ready; while :; do sleep 600 & wait; done"
    async with shell(script, logs_specs=redirected(tmp_path), death_sig=signal_number) as ctx:
        await line_of(ctx, "ready")
        ctx.send_signal(signal.SIGSTOP)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: 7}
    assert Path(ctx.result.stdouts[0]).read_text().endswith("saved\n")
