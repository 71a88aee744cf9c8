"""18. Output of any kind and amount, consumers that do not consume, disks that are full: files are exact, loss is told.

``AELASTIC_TEST_FULL=1`` writes a hundred thousand lines for each of 64 ranks.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic import Std
from tests.helpers.disk import on_small_disk
from tests.helpers.logs import (
    FLOOD,
    FLOOD_BYTES,
    HALF_A_LINE,
    Heartbeat,
    PipeConsole,
    console_in,
    exited,
    finish,
    flood,
    resident_bytes,
)
from tests.helpers.ranks import python, redirected, shell
from tests.scenarios import torture
from tests.scenarios.kinds import in_full, ranks
from tests.without_pidfds.sitecustomize import PIDFDS

if TYPE_CHECKING:
    from tests.scenarios.kinds import Kind

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(in_full(60, 1200))]

MIB = 1 << 20
RANKS = 64
LINES = in_full(200, 100_000)


def teed(tmp_path: Path, streams: Std = Std.OUT) -> aelastic.DefaultLogsSpecs:
    return redirected(tmp_path / "logs", tee=streams)


# Everything at once


@pytest.mark.parametrize("kind", ["program", "fork"])
async def test_sixty_four_ranks_with_all_that_is_hard_to_log(kind: Kind, tmp_path: Path) -> None:
    args = [(rank, LINES) for rank in range(RANKS)]
    with console_in(tmp_path / "console"):
        async with ranks(
            kind, torture.write_all, *args, logs_specs=teed(tmp_path), failure_grace=3600, strip_escapes=False
        ) as ctx:
            threads = [one.name for one in threading.enumerate() if one.name.startswith("aelastic")]
            threads = [name for name in threads if PIDFDS or not name.startswith("aelastic-wait")]
            result = await finish(ctx)
    assert len(threads) <= 6  # one for the console, four for the files, one to spare
    for rank in range(RANKS):
        way = torture.WAYS[rank % len(torture.WAYS)]
        assert Path(result.stdouts[rank]).read_bytes() == torture.output(rank, LINES), way
        assert result.exitcodes[rank] == {"os._exit": 3, "sigkill": -signal.SIGKILL}.get(way, 0)
    assert result.lost_log_bytes == {}
    assert_shown((tmp_path / "console").read_bytes())


def assert_shown(console: bytes) -> None:
    """Each line once, after its prefix, in the order of its rank."""
    shown: dict[int, list[bytes]] = {rank: [] for rank in range(RANKS)}
    for line in console.splitlines(keepends=True):
        found = re.fullmatch(rb"\[w(\d+)\]:(.*\n?)", line)
        assert found, line[:100]
        shown[int(found[1])].append(found[2])
    for rank, lines in shown.items():
        wanted = torture.output(rank, LINES).splitlines(keepends=True)
        way = torture.WAYS[rank % len(torture.WAYS)]
        if way == "progress":  # of a line that is written anew, its last state at least
            assert lines[:LINES] == wanted[:LINES]
            assert lines[-2:] == [b"100%\n", b"after\n"]
        elif way == "long line":  # in pieces, where others have spoken meanwhile
            assert lines[:LINES] == wanted[:LINES]
            assert b"".join(lines[LINES:-1]).replace(b"\n", b"") == wanted[LINES].strip()
            assert lines[-1] == b"after\n"
        else:  # a last line without an end gets one when another rank speaks
            assert [one.rstrip(b"\n") for one in lines] == [one.rstrip(b"\n") for one in wanted], way


# One at a time


DEATHS = {"sigkill": "os.kill(os.getpid(), 9)", "os._exit": "os._exit(3)", "abort": "os.abort()"}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS.keys())
async def test_what_was_written_before_a_sudden_death_is_kept(tmp_path: Path, death: str) -> None:
    script = f"""
import os, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.write(1, b"".join(b"%d\\n" % n for n in range(200_000)) + b"half a li")
os.write(2, b"last words\\n")
{death}
"""
    with console_in(tmp_path / "console"):
        async with python(script, logs_specs=redirected(tmp_path / "logs", tee=Std.OUT)) as ctx:
            result = await finish(ctx)
    lines = [*map(str, range(200_000)), "half a li"]
    assert Path(result.stdouts[0]).read_text() == "\n".join(lines)
    assert (tmp_path / "console").read_text() == "\n".join("[w0]:" + line for line in lines)
    assert result.failures[0].stderr_tail == "last words"
    assert result.failures[0].exitcode != 0


async def test_a_line_of_ten_megabytes_passes_through_in_bounded_memory(tmp_path: Path) -> None:
    script = """
import os
os.write(1, b"short\\n")
for _ in range(100):
    os.write(1, b"x" * 100_000)
os.write(1, b"\\nafter\\n")
"""
    before = resident_bytes()
    with console_in(tmp_path / "console"):
        async with python(script, logs_specs=redirected(tmp_path / "logs", tee=Std.OUT)) as ctx:
            longest = max([len(line.text) async for line in ctx.logs()])
            result = await finish(ctx)
    long_line = "x" * 10_000_000
    assert Path(result.stdouts[0]).read_text() == f"short\n{long_line}\nafter\n"
    assert (tmp_path / "console").read_text() == f"[w0]:short\n[w0]:{long_line}\n[w0]:after\n"
    assert longest < 256 * 1024
    assert resident_bytes() - before < 60 * MIB  # most of it is this test's


async def test_a_progress_bar_neither_floods_nor_vanishes(tmp_path: Path) -> None:
    script = """
import os
for percent in range(101):
    for _ in range(100):
        os.write(1, b"\\r%3d%%" % percent)
os.write(1, b"\\ndone\\n")
"""
    with console_in(tmp_path / "console"):
        async with python(script, logs_specs=teed(tmp_path)) as ctx:
            result = await finish(ctx)
    shown = (tmp_path / "console").read_text().splitlines()
    assert shown[0] == "[w0]:  0%"
    assert shown[-2:] == ["[w0]:100%", "[w0]:done"]
    assert len(shown) < 50
    assert len(Path(result.stdouts[0]).read_bytes()) == 101 * 100 * 5 + 6


async def test_t09_a_line_written_in_halves_gets_one_prefix(tmp_path: Path) -> None:
    """torch shows what it has read of a line as if it were one, and puts the prefix in front of the rest again."""
    with console_in(tmp_path / "console"):
        async with python(HALF_A_LINE, logs_specs=redirected(tmp_path / "logs", tee=Std.OUT)) as ctx:
            await finish(ctx)
    assert (tmp_path / "console").read_text() == "[w0]:abcdef\n"


async def test_t10_the_number_of_threads_does_not_grow_with_the_ranks(tmp_path: Path) -> None:
    """torch starts a thread per teed stream, which looks at its file ten times a second."""
    counts = []
    for count in (2, 16):
        with console_in(tmp_path / "console"):
            async with shell(*["sleep 60"] * count, logs_specs=redirected(tmp_path / "logs", tee=Std.ALL)):
                ours = [one.name for one in threading.enumerate() if one.name.startswith("aelastic")]
                counts.append(len([name for name in ours if PIDFDS or not name.startswith("aelastic-wait")]))
    assert counts[1] <= counts[0] + 3  # the files have up to four between them


# Consumers that do not consume


@pytest.mark.holds_the_loop  # by comparing what came; the heart beats before that
async def test_a_slow_console_holds_nobody_up_and_gets_every_line(tmp_path: Path) -> None:
    before = resident_bytes()
    with PipeConsole() as console, Heartbeat() as heart:
        async with python(FLOOD, drain_timeout=30, logs_specs=teed(tmp_path)) as ctx:
            await exited(ctx)
            assert Path(ctx.stdouts[0]).stat().st_size > FLOOD_BYTES - MIB  # the rest is in the pipe
            assert resident_bytes() - before < 25 * MIB
            console.read()
            result = await finish(ctx)
        assert heart.busiest < 0.25
    assert Path(result.stdouts[0]).stat().st_size == FLOOD_BYTES
    assert console.got == flood().encode()


async def test_consumers_that_never_consume_hold_nobody_up(tmp_path: Path) -> None:
    before = resident_bytes()
    async with shell("yes | head -c 4000000", logs_specs=redirected(tmp_path)) as ctx:
        idle = [ctx.logs() for _ in range(5)]
        await finish(ctx)
    assert {one.dropped for one in idle} == {2_000_000 - 10_000}
    assert resident_bytes() - before < 30_000_000


# A disk that is full


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


@pytest.mark.holds_the_loop
async def test_a_disk_that_fills_up_and_is_emptied_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    ended = on_small_disk(tmp_path, APPLICATION, tmp_path / "go")
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
