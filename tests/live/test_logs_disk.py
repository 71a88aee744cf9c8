"""Disks that refuse: the rank goes on, the console shows its lines, the loss is reported once and counted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aelastic import DefaultLogsSpecs, LogsDest, Std
from aelastic.conduct import run
from tests.helpers.logs import PathsOf, console_in, finish
from tests.helpers.ranks import python

pytestmark = pytest.mark.asyncio


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


APPLICATION = """
import asyncio, json, logging, os, pathlib, sys
import aelastic

RANK = '''
import os
for n in range(2000):
    os.write(1, b"%099d\\\\n" % n)
open(os.environ["GO"]).read()
os.write(1, b"after room was made\\\\n")
'''

async def main(disk, go):
    logging.basicConfig(format="%(message)s")
    filler = pathlib.Path(disk, "filler")
    filler.write_bytes(bytes(20_000))
    specs = aelastic.DefaultLogsSpecs(disk, tee=aelastic.Std.OUT, redirects=aelastic.Std.ALL)
    async with aelastic.start_processes(
        "w", sys.executable, args={0: ("-c", RANK)}, envs={0: {"GO": go}}, logs_specs=specs
    ) as ctx:
        async for line in ctx.logs(stream=aelastic.Std.OUT):
            if line.text == f"{1999:099d}":
                break
        filler.unlink()
        pathlib.Path(go).write_text("go")
        result = await ctx.wait()
    with open(result.stdouts[0], "rb") as log:
        data = log.read()
    print(json.dumps([result.is_failed(), result.lost_log_bytes, data.decode()]), file=sys.stderr)

asyncio.run(main(*sys.argv[1:]))
"""


MOUNT = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1" "$4"'


def private_mounts_work(tmp_path: Path) -> bool:
    probe = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {tmp_path}"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


async def test_a_disk_that_fills_up_and_is_emptied_again(tmp_path: Path) -> None:
    if not private_mounts_work(tmp_path):
        pytest.skip("needs the right to mount a tmpfs in a mount namespace of its own")
    (tmp_path / "disk").mkdir()
    os.mkfifo(tmp_path / "go")
    command = ["unshare", "--mount", "sh", "-c", MOUNT, "sh"]
    ended = subprocess.run(
        [*command, str(tmp_path / "disk"), sys.executable, APPLICATION, str(tmp_path / "go")],
        capture_output=True,
        check=True,
        text=True,
    )
    assert ended.stdout.splitlines() == [*(f"[w0]:{n:099d}" for n in range(2000)), "[w0]:after room was made"]
    said, report = ended.stderr.splitlines()
    assert "No space left on device" in said
    failed, lost, log = json.loads(report)
    assert not failed
    (count,) = lost.values()
    assert count == 2000 * 100 + len("after room was made\n") - len(log)
    assert 20_000 < count < 200_000
    assert log.startswith("".join(f"{n:099d}\n" for n in range(300)))
    assert log.endswith("after room was made\n")
