"""The console: whole lines, in order, whatever the console does."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import aelastic
from aelastic import Std
from aelastic.logs.console import Console
from tests.helpers.logs import (
    FLOOD,
    FLOOD_BYTES,
    HALF_A_LINE,
    PipeConsole,
    console_in,
    exited,
    finish,
    flood,
)
from tests.helpers.ranks import python, redirected, shell

pytestmark = pytest.mark.asyncio

NOT_SHOWN = re.compile("([0-9]+) bytes were not shown on the console")


def teed(tmp_path: Path, streams: Std = Std.OUT) -> aelastic.DefaultLogsSpecs:
    return redirected(tmp_path / "logs", tee=streams)


# What is shown


async def test_lines_are_whole_and_in_order_whatever_the_borders_of_their_chunks(tmp_path: Path) -> None:
    script = """
import os, random
source = random.Random({0})
for stream in (1, 2):
    text = b"".join(b"%d of stream %d\\n" % (n, stream) for n in range(20_000))
    while text:
        size = source.choice([1, 5, 100, 5000, 70_000])
        os.write(stream, text[:size])
        text = text[size:]
"""
    with console_in(tmp_path / "console"):
        async with python(*map(script.format, range(4)), logs_specs=teed(tmp_path, Std.ALL)) as ctx:
            await finish(ctx)
    shown = (tmp_path / "console").read_text().splitlines()
    for rank in range(4):
        for stream in (1, 2):
            mine = [line for line in shown if re.fullmatch(rf"\[w{rank}\]:\d+ of stream {stream}", line)]
            assert mine == [f"[w{rank}]:{n} of stream {stream}" for n in range(20_000)]
    assert len(shown) == 4 * 2 * 20_000


async def test_a_line_written_in_halves_gets_one_prefix_and_the_last_needs_no_end(tmp_path: Path) -> None:
    with console_in(tmp_path / "console"):
        async with python(
            HALF_A_LINE + "os.write(1, b'the end')", log_line_prefixes={0: "<zero> "}, logs_specs=teed(tmp_path)
        ) as ctx:
            await finish(ctx)
    assert (tmp_path / "console").read_text() == "<zero> abcdef\n<zero> the end"


async def test_streams_that_share_a_console_do_not_break_each_others_lines(tmp_path: Path) -> None:
    """As after ``2>&1 |``: a pipe takes large writes piece by piece."""
    script = """
import os
for n in range(2000):
    os.write(1, b"out " * 20 + b"\\n")
    os.write(2, b"err " * 20 + b"\\n")
"""
    with PipeConsole() as console, contextlib.redirect_stderr(console.file):
        async with python(script, script, drain_timeout=30, logs_specs=teed(tmp_path, Std.ALL)) as ctx:
            await exited(ctx)
            console.read()
            await finish(ctx)
    shown = Counter(console.got.decode().splitlines())
    assert shown == {f"[w{rank}]:{text * 20}": 2000 for rank in (0, 1) for text in ("out ", "err ")}


async def test_what_the_application_printed_comes_first(tmp_path: Path) -> None:
    with console_in(tmp_path / "console"):
        print("from the application")
        async with shell("echo from the rank", logs_specs=teed(tmp_path)) as ctx:
            await finish(ctx)
        print("from the application, again")
    assert (tmp_path / "console").read_text().splitlines() == [
        "from the application",
        "[w0]:from the rank",
        "from the application, again",
    ]


# Consoles that do not take it


async def test_a_stuck_console_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PipeConsole() as console:
        async with asyncio.timeout(20):
            async with python(FLOOD, drain_timeout=0.1, logs_specs=teed(tmp_path)) as ctx:
                result = await finish(ctx)
        console.close_reader()
    assert Path(result.stdouts[0]).stat().st_size == FLOOD_BYTES
    assert not result.is_failed()
    assert [message for message in caplog.messages if "console" in message] == [
        "the console is stuck; what it did not show is in the log files"
    ]


@pytest.mark.parametrize("stderr", [subprocess.PIPE, subprocess.STDOUT], ids=["own stderr", "2>&1"])
async def test_a_stuck_console_does_not_keep_the_application_from_ending(tmp_path: Path, stderr: int) -> None:
    application = f"""
import asyncio, sys, aelastic
async def main():
    async with aelastic.start_processes(
        "w", sys.executable, args={{0: ("-c", {FLOOD!r})}}, envs={{0: {{}}}},
        logs_specs=aelastic.DefaultLogsSpecs({str(tmp_path)!r}, tee=aelastic.Std.OUT),
    ) as ctx:
        result = await ctx.wait()
    sys.exit(42 if not result.is_failed() else 1)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", application], stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            assert process.wait(timeout=20) == 42
        finally:
            process.kill()
        if process.stderr is not None:
            assert b"the console is stuck" in process.stderr.read()


@pytest.mark.parametrize("how", ["reader gone", "closed", "reader gone, text unflushed"])
async def test_a_closed_console_does_not_concern_the_ranks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with PipeConsole() as console:
        if "unflushed" in how:
            print("never seen")
        if "reader" in how:
            console.close_reader()
        else:
            console.file.close()
        async with python(FLOOD, logs_specs=teed(tmp_path)) as ctx:
            result = await finish(ctx)
    assert Path(result.stdouts[0]).stat().st_size == FLOOD_BYTES
    assert not result.is_failed()
    assert len([message for message in caplog.messages if "console" in message]) == 1


async def test_a_console_made_non_blocking_gets_every_line(tmp_path: Path) -> None:
    with PipeConsole() as console:
        os.set_blocking(console.file.fileno(), False)
        async with python(FLOOD, drain_timeout=30, logs_specs=teed(tmp_path)) as ctx:
            await exited(ctx)
            console.read()
            await finish(ctx)
    assert console.got == flood().encode()


CLOSED = {
    "never opened": "assert sys.stdout is None",
    "closed behind Python's back": "os.close(1)",
    "closed": "sys.stdout.close()",
}


@pytest.mark.parametrize("how", CLOSED)
async def test_an_application_without_standard_output_runs_its_ranks(tmp_path: Path, how: str) -> None:
    """Whatever gets the number of the closed descriptor, the lines do not end there."""
    application = f"""
import asyncio, os, sys, aelastic
async def main():
    {CLOSED[how]}
    async with aelastic.start_processes(
        "w", "/bin/echo", args={{0: ("x",), 1: ("x",)}}, envs={{0: {{}}, 1: {{}}}},
        logs_specs=aelastic.DefaultLogsSpecs({str(tmp_path)!r}, tee=aelastic.Std.ALL),
    ) as ctx:
        result = await ctx.wait()
    os.write(2, "".join(open(result.stdouts[rank]).read() for rank in (0, 1)).encode())
    os._exit(0)
asyncio.run(main())
"""
    close = ">&-" if how == "never opened" else ""
    command = ["sh", "-c", f'exec "$0" "$@" {close}', sys.executable, "-c", application]
    ended = subprocess.run(command, stderr=subprocess.PIPE, check=False, text=True)
    warnings = [line for line in ended.stderr.splitlines() if line != "x"]
    assert ended.stderr.endswith("x\nx\n")
    assert len(warnings) == (how != "never opened")
    assert all("console is closed" in line for line in warnings)


# Consoles that are no descriptor


class Notebook(io.StringIO):
    """Has the descriptor of a terminal somewhere, and shows its text elsewhere."""

    def fileno(self) -> int:
        return 2


@pytest.mark.parametrize("kind", [io.StringIO, Notebook])
async def test_a_text_stream_gets_the_lines(tmp_path: Path, kind: type[io.StringIO]) -> None:
    with contextlib.redirect_stdout(kind()) as notebook:
        async with python("print('é' * 100_000); print('x')", logs_specs=teed(tmp_path)) as ctx:
            await finish(ctx)
    assert notebook.getvalue() == f"[w0]:{'é' * 100_000}\n[w0]:x\n"


async def test_a_text_stream_that_knows_few_characters_gets_the_lines(tmp_path: Path) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(narrow):
        async with python("print('é')", "print('x')", logs_specs=teed(tmp_path)) as ctx:
            await finish(ctx)
    narrow.seek(0)
    assert sorted(narrow.read().splitlines()) == ["[w0]:\\xe9", "[w1]:x"]


async def test_a_text_stream_may_raise_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError("no session")

    with contextlib.redirect_stdout(Broken()):
        async with python(FLOOD, logs_specs=teed(tmp_path)) as ctx:
            result = await finish(ctx)
    assert Path(result.stdouts[0]).stat().st_size == FLOOD_BYTES
    assert [message for message in caplog.messages if "console" in message] == [
        "the console is closed (no session); the ranks go on"
    ]


# The log file as the buffer


async def test_lines_that_cannot_be_read_back_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PipeConsole() as console:
        async with python(FLOOD, drain_timeout=30, logs_specs=teed(tmp_path)) as ctx:
            await exited(ctx)
            os.truncate(ctx.stdouts[0], 0)
            console.read()
            await finish(ctx)
    assert console.got.startswith(b"[w0]:" + b"0" * 99)
    (said,) = [int(found[1]) for found in map(NOT_SHOWN.fullmatch, caplog.messages) if found]
    raw = console.got.replace(b"[w0]:", b"")
    assert len(raw) + said == FLOOD_BYTES


class Gate:
    """A destination that takes nothing before it is opened, and then 4 KiB in ``seconds``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.got = bytearray()
        self.open = threading.Event()
        self._seconds = seconds

    def write(self, data: memoryview) -> int:
        self.open.wait()
        if self._seconds:
            time.sleep(self._seconds * len(data) / 4096)
        self.got += data
        return len(data)

    def close(self) -> None:
        pass


async def test_tiny_blocks_do_not_fill_the_memory(tmp_path: Path) -> None:
    gate, path = Gate(), tmp_path / "log"
    path.write_bytes(b"y\n" * 60_000 + b"end")
    console = Console(gate)
    stream = console.stream("", str(path))
    for n in range(60_000):
        stream.show(b"y\n", 0.0, 2 * n)
    stream.show(b"end", 0.0, 120_000)
    stream.end()
    assert len(stream.segments) < 40_000
    assert not console.has_room
    gate.open.set()
    await console.close(patience=30)
    assert (console.shown, console.skipped, bytes(gate.got)) == (120_003, 0, path.read_bytes())


async def test_a_console_that_takes_a_little_now_and_then_is_not_stuck() -> None:
    gate = Gate(seconds=0.02)
    console = Console(gate)
    stream = console.stream("", "")
    stream.show(b"first\n", 0.0, None)
    text = b"".join(b"%09d\n" % n for n in range(13_000))
    stream.show(text, 0.0, None)
    stream.end()
    closing = asyncio.ensure_future(console.close(patience=0.25))  # all of it takes 0.6 s
    await asyncio.sleep(0)
    gate.open.set()
    await closing
    assert gate.got == b"first\n" + text
