"""Many runs in a row, many ranks at once. What they leave of processes, threads and so on is looked at after each."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.helpers.limits import soft_limit
from tests.helpers.ranks import is_alive, redirected, shell
from tests.without_pidfds.sitecustomize import PIDFDS

pytestmark = pytest.mark.asyncio

ENOUGH = 8000  # descriptors for a thousand ranks with two log files each
FILE_THREADS = 4  # of a run, whatever its size


async def test_two_hundred_starts_and_closes_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for number in range(200):
        async with shell("exec sleep 600" if number % 2 else "exit 0", "exit 0") as ctx:
            if number % 4 == 0:
                await ctx.wait()
    assert os.listdir(tmp_path) == []


async def test_a_thousand_ranks_start_run_and_stop(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < ENOUGH:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    threads = threading.active_count()
    with soft_limit(resource.RLIMIT_NOFILE, ENOUGH):
        async with shell(*["echo here; exec sleep 600"] * 1000, logs_specs=redirected(tmp_path)) as ctx:
            silent = set(ctx.pids())
            async for line in ctx.logs():
                silent.discard(line.rank)
                if not silent:
                    break
            if not has_a_thread_per_rank():
                assert threading.active_count() - threads <= FILE_THREADS
    assert ctx.result is not None
    assert ctx.result.exitcodes == dict.fromkeys(range(1000), -15)
    assert not any(map(is_alive, ctx.pids().values()))
    assert {Path(path).read_text() for path in ctx.result.stdouts.values()} == {"here\n"}


def has_a_thread_per_rank() -> bool:
    """Asyncio's own loop of Python 3.11 has, and so has every loop where there are no pidfds."""
    stock = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    return not PIDFDS or (stock and sys.version_info < (3, 12))
