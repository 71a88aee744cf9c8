"""``TailLog``: following files of others."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aelastic.logs.files import FollowedFile
from aelastic.logs.tail import TailLog
from tests.helpers.logs import Heartbeat, PipeConsole, Text

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.asyncio

INTERVAL = 0.005


def tail(files: Iterable[Path], dst: Text, **options: Any) -> TailLog:
    options = {"interval_sec": INTERVAL, **options}
    return TailLog("w", {rank: str(path) for rank, path in enumerate(files)}, dst, **options)


async def test_files_are_followed_from_their_beginning_to_the_stop(tmp_path: Path) -> None:
    files = [tmp_path / "0", tmp_path / "1"]
    files[0].write_text("before\n")
    dst = Text()
    tailer = tail(files, dst, log_line_prefixes={1: "one "})
    assert tailer.start() is tailer
    await dst.shows("[w0]:before\n")
    with files[1].open("a") as file:
        for n in range(1000):
            file.write(f"{n}\n")
    assert not tailer.stopped()
    await tailer.stop()
    assert tailer.stopped()
    assert dst.getvalue() == "[w0]:before\n" + "".join(f"one {n}\n" for n in range(1000))


async def test_a_line_is_shown_when_it_is_whole_and_an_unfinished_one_at_the_end(tmp_path: Path) -> None:
    dst = Text()
    async with tail([tmp_path / "0", tmp_path / "1"], dst):
        with (tmp_path / "0").open("wb", buffering=0) as file, (tmp_path / "1").open("wb", buffering=0) as other:
            file.write("half é".encode()[:-1])
            other.write(b"other\n")
            await dst.shows("other")
            file.write("half é".encode()[-1:] + b" whole\nthe end")
            await dst.shows("whole")
    assert dst.getvalue() == "[w1]:other\n[w0]:half é whole\n[w0]:the end"


async def test_a_file_that_never_appears_does_not_hold_the_stop(tmp_path: Path) -> None:
    dst = Text()
    tailer = tail([tmp_path / "never", tmp_path / "no" / "such" / "directory"], dst).start()
    await asyncio.sleep(0)
    await tailer.stop()
    await tailer.stop()
    assert tailer.stopped()
    assert dst.getvalue() == ""


async def test_a_file_that_appears_just_before_the_stop_is_shown(tmp_path: Path) -> None:
    dst = Text()
    async with tail([tmp_path / "0"], dst, interval_sec=600):
        await asyncio.sleep(0)
        (tmp_path / "0").write_text("late\n")
    assert dst.getvalue() == "[w0]:late\n"


async def test_a_stop_without_a_start_and_no_files() -> None:
    tailer = tail([], Text())
    await tailer.stop()
    assert tailer.stopped()
    async with tail([], Text()):
        pass


async def test_a_second_start_is_refused(tmp_path: Path) -> None:
    async with tail([tmp_path / "0"], Text()) as tailer:
        with pytest.raises(RuntimeError, match="already"):
            tailer.start()


async def test_a_file_that_is_emptied_goes_on_from_its_beginning(tmp_path: Path) -> None:
    file, dst = tmp_path / "0", Text()
    file.write_text("first, a long line\nunfinished")
    async with tail([file], dst):
        await dst.shows("first")
        file.write_text("second\n")
        await dst.shows("second")
    assert dst.getvalue() == "[w0]:first, a long line\n[w0]:unfinished\n[w0]:second\n"


async def test_a_file_that_is_replaced_is_read_to_its_end_first(tmp_path: Path) -> None:
    file, dst = tmp_path / "0", Text()
    with file.open("w") as old:
        print("old", file=old, flush=True)
        async with tail([file], dst):
            await dst.shows("old")
            print("the last of the old", file=old, flush=True)
            file.rename(tmp_path / "0.1")
            file.write_text("new\n")
            await dst.shows("new")
    assert dst.getvalue() == "[w0]:old\n[w0]:the last of the old\n[w0]:new\n"


async def test_what_is_written_while_a_file_is_replaced_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0"
    path.write_text("old\n")
    file = FollowedFile(str(path))
    assert file.read(100) == b"old\n"
    looks = file._begins_anew

    def replaced_meanwhile() -> bool:
        if path.read_text() == "old\n":
            path.write_text("old\nlast\n")
            path.rename(tmp_path / "0.1")
            path.write_text("new\n")
        return looks()

    monkeypatch.setattr(file, "_begins_anew", replaced_meanwhile)
    assert [file.read(100) for _ in range(4)] == [b"last\n", None, b"new\n", b""]
    file.close()


async def test_a_stop_comes_to_an_end_although_the_writer_does_not(tmp_path: Path) -> None:
    writer = subprocess.Popen(["sh", "-c", f"while :; do echo y; done > {tmp_path}/0"])  # not "yes": disks are finite
    dst = Text()
    try:
        tailer = tail([tmp_path / "0"], dst).start()
        await dst.shows("y\n")
        async with asyncio.timeout(30):
            await tailer.stop()
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


async def test_a_progress_bar_neither_floods_nor_vanishes(tmp_path: Path) -> None:
    file, dst = tmp_path / "0", Text()
    async with tail([file], dst):
        with file.open("w", buffering=1) as bar:
            for percent in range(101):
                bar.write(f"\r{percent}%")
                bar.flush()
            bar.write("\ndone\n")
            await dst.shows("done")
    lines = dst.getvalue().splitlines()
    assert lines[-2:] == ["[w0]:100%", "[w0]:done"]
    assert len(lines) < 20


async def test_a_filter_chooses_whole_lines(tmp_path: Path) -> None:
    asked: list[str] = []

    def wanted(line: str) -> bool:
        asked.append(line)
        return "loss" in line

    file, dst = tmp_path / "0", Text()
    long = "loss" + "x" * 300_000
    file.write_text(f"loss 1\nother\n{long}\n{long[4:]}\n\nloss 2\nother\nloss 3")
    async with tail([file], dst, log_line_filter=wanted):
        pass
    assert dst.getvalue() == f"[w0]:loss 1\n[w0]:{long}\n[w0]:loss 2\n[w0]:loss 3"
    assert asked[:2] == ["loss 1\n", "other\n"]
    assert asked[-1] == "loss 3"
    assert len(asked) == 8


async def test_a_filter_that_fails_hides_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(line: str) -> bool:
        raise KeyError(line)

    dst = Text()
    (tmp_path / "0").write_text("1\n2\n3\n")
    async with tail([tmp_path / "0"], dst, log_line_filter=broken):
        pass
    assert dst.getvalue() == "[w0]:1\n[w0]:2\n[w0]:3\n"
    assert len(caplog.messages) == 1


async def test_what_is_no_file_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("line\n")
    dst = Text()
    async with tail([tmp_path, tmp_path / "fifo", tmp_path / "file"], dst):
        await dst.shows("line")
    assert dst.getvalue() == "[w2]:line\n"
    assert caplog.messages == [f"cannot follow {tmp_path}: Is a directory"]


async def test_many_files_need_no_thread_each(tmp_path: Path) -> None:
    files = [tmp_path / str(rank) for rank in range(64)]
    for file in files:
        file.write_text("x\n")
    dst = Text()
    before = threading.active_count()
    async with tail(files, dst):
        await dst.shows("[w63]:x")
        assert threading.active_count() - before <= 2


async def test_a_slow_destination_gets_everything_and_the_loop_turns(tmp_path: Path) -> None:
    text = "".join(f"{n:099d}\n" for n in range(100_000))
    (tmp_path / "0").write_text(text)
    with PipeConsole() as console, Heartbeat() as heart:
        async with TailLog("w", {0: str(tmp_path / "0")}, sys.stdout, {0: ""}, INTERVAL):
            await heart.beat(20)
            console.read()
    assert console.got.decode() == text


async def test_a_stuck_destination_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "0").write_text("x" * 99 + "\n" * 200_000)
    with PipeConsole() as console:
        async with asyncio.timeout(20), TailLog("w", {0: str(tmp_path / "0")}, sys.stdout, None, INTERVAL):
            await asyncio.sleep(0)
        console.close_reader()
    assert len(caplog.messages) == 1


async def test_cancelling_the_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    dst = Text()
    (tmp_path / "0").write_text("line\n")
    tailer = tail([tmp_path / "0"], dst).start()
    stopping = asyncio.ensure_future(tailer.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping})
    await tailer.stop()
    assert dst.getvalue() == "[w0]:line\n"


async def test_the_end_of_the_loop_ends_it(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("line\nunfinished")
    application = f"""
import asyncio
from aelastic.logs.files import FollowedFile
from aelastic.logs.tail import TailLog
from tests.helpers.logs import Text
async def main():
    global dst
    dst = Text()
    TailLog("w", {{0: {str(tmp_path / "0")!r}}}, dst, interval_sec=0.001).start()
    await dst.shows("line")
asyncio.run(main())
print(dst.getvalue())
"""
    command = [sys.executable, "-W", "error", "-c", application]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert (ended.stdout, ended.stderr) == ("[w0]:line\n[w0]:unfinished\n", "")
