"""4. A rank ends, what it left holds its pipes: the result comes, with every byte written so far."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.logs import finish
from tests.helpers.ranks import line_of, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, ended, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.kinds import AnyStarting, Kind

pytestmark = pytest.mark.asyncio

MIB = 1 << 20


@contextlib.contextmanager
def daemon_of(kind: Kind, tmp_path: Path, *vice: str, **options: Any) -> Iterator[AnyStarting]:
    """A rank whose child has left its process group and goes on when the rank is gone, until the end of the block."""
    pid_file = tmp_path / "pid"
    options["logs_specs"] = redirected(tmp_path / "logs")
    try:
        yield ranks(kind, vices.leaves_daemon, (str(pid_file), *vice), containment="group", **options)
    finally:
        kill(int(pid_file.read_text()))


def kill(pid: int) -> None:
    """End what left the group of its rank, if aelastic has not found it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@each_kind
async def test_who_holds_the_pipes_for_ever_does_not_hold_up_the_result(kind: Kind, tmp_path: Path) -> None:
    with daemon_of(kind, tmp_path, "sleeps", "writes", drain_timeout=0.2) as starting:
        async with asyncio.timeout(20), starting as ctx:
            result = await finish(ctx)
            assert result.exitcodes == {0: 0}, result.failures
            assert not result.is_failed()
            assert kind == "program" or result.return_values == {0: int((tmp_path / "pid").read_text())}
            assert Path(result.stdouts[0]).stat().st_size == MIB


@each_kind
async def test_output_after_the_exit_is_kept_within_the_drain_timeout(kind: Kind, tmp_path: Path) -> None:
    with daemon_of(kind, tmp_path, "says when", drain_timeout=30) as starting:
        async with starting as ctx:
            result = await finish(ctx)
    assert Path(result.stdouts[0]).read_text() == "daemon\n"
    assert not result.is_failed()


async def test_who_holds_one_pipe_for_ever_does_not_hold_up_the_result(tmp_path: Path) -> None:
    with daemon_of("program", tmp_path, "closes stdout", drain_timeout=0.2) as starting:
        async with asyncio.timeout(20), starting as ctx:
            result = await finish(ctx)
    assert not result.is_failed()


async def test_who_floods_the_pipe_does_not_hold_up_the_result(tmp_path: Path) -> None:
    with daemon_of("program", tmp_path, "floods", drain_timeout=0.1) as starting:
        async with asyncio.timeout(20), starting as ctx:
            result = await finish(ctx)
    assert Path(result.stdouts[0]).stat().st_size > 0


async def test_an_endless_drain_ends_with_who_holds_the_pipe(tmp_path: Path) -> None:
    script = "setsid sleep 600 & echo escaped $!"
    async with shell(script, logs_specs=redirected(tmp_path), drain_timeout=600, containment="group") as ctx:
        escaped = int((await line_of(ctx, "escaped")).text.split()[1])
        kill(escaped)
        result = await finish(ctx)
    assert not result.is_failed()
    assert await ended(escaped)


async def test_sixty_four_held_pipes_cost_one_drain_timeout(tmp_path: Path) -> None:
    script = "setsid sleep 600 & echo $!"
    async with asyncio.timeout(20):  # one after another they would take more than a minute
        specs = redirected(tmp_path)
        async with shell(*[script] * 64, logs_specs=specs, drain_timeout=1.0, containment="group") as ctx:
            result = await finish(ctx)
    assert set(result.exitcodes.values()) == {0}
    for path in result.stdouts.values():
        kill(int(Path(path).read_text()))
