"""Disks that refuse: the rank goes on, the console shows its lines, the loss is reported once and counted."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aelastic import DefaultLogsSpecs, LogsDest, Std
from aelastic.conduct import run
from tests.helpers.logs import PathsOf, PipeConsole, console_in, finish
from tests.helpers.ranks import python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio

ROOM = 1_000_000


@pytest.fixture
def few_bytes() -> Iterator[None]:
    """No file of this process, nor of its ranks, gets larger than ROOM. Python ignores the signal that says so."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_file_that_takes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = "import os\nfor n in range(10_000): os.write(1, b'%099d\\n' % n)"
    full = {0: "/dev/full"}
    specs = PathsOf(LogsDest(full, {0: ""}, tee_stdouts=full, error_files={0: os.devnull}))
    with console_in(tmp_path / "console"):
        async with python(script, logs_specs=specs) as ctx:
            live = [line async for line in ctx.logs()]
            result = await finish(ctx)
    assert not result.is_failed()
    assert result.lost_log_bytes == {"/dev/full": 1_000_000}
    assert (tmp_path / "console").read_text() == "".join(f"[w0]:{n:099d}\n" for n in range(10_000))
    assert len(live) == 10_000
    assert caplog.messages == [
        "cannot write to /dev/full: No space left on device; the rank goes on, lost bytes are counted"
    ]


async def test_a_disk_that_gets_full_while_a_fast_rank_is_teed(tmp_path: Path, few_bytes: None) -> None:
    """The file is copied and read back then; what it refuses is shown all the same, in its place."""
    script = "import os\nfor n in range(30): os.write(1, b''.join(b'%099d\\n' % (n * 1000 + i) for i in range(1000)))"
    specs = DefaultLogsSpecs(str(tmp_path), tee=Std.OUT)
    with PipeConsole() as console:
        console.read()
        async with python(script, logs_specs=specs) as ctx:
            result = await finish(ctx)
    assert not result.is_failed()
    assert Path(result.stdouts[0]).stat().st_size == ROOM
    assert result.lost_log_bytes == {result.stdouts[0]: 3_000_000 - ROOM}
    assert console.got.decode() == "".join(f"[w0]:{n:099d}\n" for n in range(30_000))


async def test_a_filter_file_that_takes_nothing_concerns_only_itself(tmp_path: Path) -> None:
    class NoRoomForFilter(DefaultLogsSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
            dest = super().reify(envs)
            dest.filtered_stdout = "/dev/full"
            return dest

    with console_in(tmp_path / "console"):
        async with python(
            "print('loss 1')", logs_specs=NoRoomForFilter(str(tmp_path), tee=Std.OUT), duplicate_stdout_filters=["loss"]
        ) as ctx:
            result = await finish(ctx)
    assert Path(result.stdouts[0]).read_text() == "loss 1\n"
    assert result.lost_log_bytes == {"/dev/full": len("[w0]:loss 1\n")}


async def test_a_disk_that_does_not_answer_does_not_hold_up_who_is_in_a_hurry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "_PATIENCE", 0.1)
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)  # and nobody reads: writes take for ever
    path = {0: str(tmp_path / "fifo")}
    specs = PathsOf(LogsDest(path, {0: ""}, error_files={0: ""}))
    script = "import os\nwhile True: os.write(1, b'x' * 1_000_000)"
    try:
        ctx = await python(script, logs_specs=specs)
        waiting = asyncio.create_task(ctx.wait())
        assert await ctx.wait(0.3) is None
        waiting.cancel()
        assert not (await asyncio.wait({waiting}, timeout=0.5))[0]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ctx.result is not None
        assert ctx.result.exitcodes == {0: -15}
        assert "the run was cut short" in ctx.result.failures[0].reason
        assert any("is cut short" in message for message in caplog.messages)
    finally:
        os.set_blocking(reader, True)
        while os.read(reader, 1_000_000):
            pass
        os.close(reader)
