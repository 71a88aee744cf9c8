"""What a run may cost, in counts: system calls, wake-ups, copies. Clocks are for ``benchmarks``.

Threads per rank: ``test_many``. Imports: ``test_import_costs``, ``test_exports`` and ``test_functions``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers.apps import LOOPS, Application
from tests.helpers.ranks import redirected, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = b"x" * 79 + b"\n"
MEGABYTES = 16
CALLS_PER_MEGABYTE = 200  # a pipe holds 64 KiB or more, so 16 blocks when the rank is fast; there are 13 000 lines

CALLBACKS, CALLBACKS_PER_MEGABYTE = 200, 50  # for each block that is waited for, three or so

# Silence


def wakeups(pid: int) -> int:
    """How often the threads of ``pid``, and of the helpers that it has started, went to sleep of their own will."""
    return sum(_switches(task) for one in [pid, *_children(pid)] for task in _tasks(one))


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _children(pid: int) -> list[int]:
    return [int(child) for task in _tasks(pid) for child in (task / "children").read_text().split()]


def _switches(task: Path) -> int:
    (line,) = (one for one in (task / "status").read_text().splitlines() if one.startswith("voluntary_ctxt"))
    return int(line.split()[1])


def settled(pid: int, patience: float = 20.0) -> int:
    """The wake-ups of ``pid`` once there are no more for a moment."""
    deadline = time.monotonic() + patience
    before = -1
    while (now := wakeups(pid)) != before:
        assert time.monotonic() < deadline, "it does not come to rest"
        before = now
        time.sleep(0.3)
    return now


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_wakes_up_while_the_ranks_are_silent(loop: str, tmp_path: Path) -> None:
    with Application("app_waits", loop, 30, tmp_path, *["echo ready; exec sleep 600"] * 8) as app:
        app.line("ready")
        before = settled(app.process.pid)
        time.sleep(1)
        assert wakeups(app.process.pid) - before == 0
        app.interrupt()
        app.ended()


# Output


def calls() -> Counter[str]:
    """System calls of this process so far that read and that write."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return Counter({"read": int(lines["syscr"]), "write": int(lines["syscw"])})


@pytest.mark.asyncio
@pytest.mark.parametrize("ranks", [1, 4])
async def test_output_is_read_and_written_in_blocks(ranks: int, tmp_path: Path) -> None:
    source = tmp_path / "lines"
    source.write_bytes(LINE * (MEGABYTES * 1024 * 1024 // len(LINE)))
    before = calls()
    async with shell(*[f"exec cat {source}"] * ranks, logs_specs=redirected(tmp_path)) as ctx:
        result = await ctx.wait()
    assert result is not None
    made = calls() - before
    assert sum(map(os.path.getsize, result.stdouts.values())) == ranks * source.stat().st_size
    assert made["read"] < ranks * MEGABYTES * CALLS_PER_MEGABYTE
    assert made["write"] < ranks * MEGABYTES * CALLS_PER_MEGABYTE


@pytest.mark.any_loop  # it looks into that of the standard library
@pytest.mark.asyncio
async def test_the_loop_has_little_to_do_with_what_nobody_looks_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "lines"
    source.write_bytes(LINE * (MEGABYTES * 1024 * 1024 // len(LINE)))
    run, callbacks = asyncio.Handle._run, 0

    def count(handle: asyncio.Handle) -> None:
        nonlocal callbacks
        callbacks += 1
        run(handle)

    monkeypatch.setattr(asyncio.Handle, "_run", count)
    async with shell(f"exec cat {source}", logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
    assert callbacks < CALLBACKS + MEGABYTES * CALLBACKS_PER_MEGABYTE


# The environment


class Watched(dict[str, str]):
    """An environment that counts how often somebody goes through all of it."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        type(self).walks += 1
        return super().__iter__()

    def items(self) -> Any:
        type(self).walks += 1
        return super().items()

    def copy(self) -> dict[str, str]:
        type(self).walks += 1
        return dict(super().items())


async def walks(monkeypatch: pytest.MonkeyPatch, ranks: int) -> int:
    """How often a run of so many ranks goes through the environment."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", Watched(os.environ))
        Watched.walks = 0
        async with aelastic.start_processes(
            "w", "/bin/true", dict.fromkeys(range(ranks), ()), {rank: {"RANK": str(rank)} for rank in range(ranks)}
        ) as ctx:
            await ctx.wait()
        return Watched.walks


@pytest.mark.asyncio
async def test_the_environment_is_not_gone_through_for_each_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    await walks(monkeypatch, 1)  # a loop's helper is started with the first run
    assert await walks(monkeypatch, 2) == await walks(monkeypatch, 16) > 0
