"""Mistakes in the logs of torch 2.13's elastic multiprocessing that must not come back."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

import aelastic
from aelastic import Std
from aelastic.logs.tail import TailLog
from tests.helpers.logs import Text, finish
from tests.helpers.ranks import redirected, shell

pytestmark = pytest.mark.asyncio


async def test_t09_the_same_for_a_followed_file(tmp_path: Path) -> None:
    """torch's TailLog reads with readline, which gives the half of a line that is there."""
    (tmp_path / "log").write_text("first\nabc")
    dst = Text()
    async with TailLog("w", {0: str(tmp_path / "log")}, dst, interval_sec=0.001):
        await dst.shows("first")
        with (tmp_path / "log").open("a") as log:
            log.write("def\n")
    assert dst.getvalue() == "[w0]:first\n[w0]:abcdef\n"


async def test_t11_a_filter_left_out_shows_every_line(tmp_path: Path) -> None:
    """torch's tail_logfile drops every line when its filter is left at its default, None."""
    assert inspect.signature(TailLog).parameters["log_line_filter"].default is None
    (tmp_path / "log").write_text("1\n2\n")
    with (tmp_path / "shown").open("w") as dst:
        async with TailLog("w", {0: str(tmp_path / "log")}, dst, None, 0.001, None):
            pass
    assert (tmp_path / "shown").read_text() == "[w0]:1\n[w0]:2\n"


async def test_t12_no_log_file_is_open_after_the_run(tmp_path: Path) -> None:
    """torch closes the log files of a rank only where it signals it, so not after a success."""
    logs = tmp_path / "logs"
    async with shell("echo x", "echo y", logs_specs=redirected(logs, tee=Std.OUT)) as ctx:
        await finish(ctx)
        held = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        assert not [path for path in held if path.startswith(str(logs))]


async def test_t13_any_rank_can_be_configured_and_nothing_may_follow() -> None:
    """torch's pattern for the text form knows ranks of one digit, and lets a line end pass."""
    assert Std.from_str("10:3,1:0") == {10: Std.ALL, 1: Std.NONE}
    for text in ("3\n", "0:3\n", "0:3,1:0\n"):
        with pytest.raises(ValueError, match="neither"):
            Std.from_str(text)
    assert aelastic.to_map({10: Std.ALL}, 11)[10] is Std.ALL
