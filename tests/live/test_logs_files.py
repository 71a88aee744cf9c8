"""The log files: every byte, whatever the bytes are and however the rank ends."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import random
import re
import time
from pathlib import Path

import pytest

from aelastic import DefaultLogsSpecs, LogsDest, Std
from aelastic.logs.pipe import Pipe
from tests.helpers.logs import Heartbeat, PathsOf, console_in, finish
from tests.helpers.ranks import line_of, python, redirected, shell

pytestmark = pytest.mark.asyncio

MIB = 1 << 20


NOISE = """
import os, random
source = random.Random({seed})
noise = source.randbytes({size})
at = 0
while at < len(noise):
    at += os.write({descriptor}, noise[at : at + source.choice([1, 17, 4096, 100_000])])
"""


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_any_bytes_arrive_as_they_are(tmp_path: Path) -> None:
    size = 3 * MIB
    scripts = [NOISE.format(seed=rank, size=size, descriptor=1 + rank % 2) for rank in range(4)]
    async with python(*scripts, logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert not result.is_failed()
    for rank in range(4):
        paths = (result.stdouts[rank], result.stderrs[rank])
        written, empty = paths if rank % 2 == 0 else paths[::-1]
        assert hashlib.sha256(Path(written).read_bytes()).digest() == hashlib.sha256(noise(rank, size)).digest()
        assert Path(empty).read_bytes() == b""
    assert result.lost_log_bytes == {}


async def test_a_rank_that_closes_its_streams_costs_nothing(tmp_path: Path) -> None:
    script = "echo before; exec >&- 2>&-; sleep 0.5; exit 5"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "before")
        busy = time.process_time()
        result = await finish(ctx)
    assert time.process_time() - busy < 0.2
    assert Path(result.stdouts[0]).read_text() == "before\n"
    assert result.exitcodes == {0: 5}


@pytest.mark.parametrize("other", ["both.log", "./both.log", "link.log"])
async def test_both_streams_in_one_file_lose_nothing(tmp_path: Path, other: str) -> None:
    (tmp_path / "link.log").symlink_to(tmp_path / "both.log")
    (tmp_path / "both.log").touch()
    script = """
import os
for n in range(2000):
    os.write(1, b"out %d\\n" % n)
    os.write(2, b"err %d\\n" % n)
"""
    dest = LogsDest({0: f"{tmp_path}/both.log"}, {0: f"{tmp_path}/{other}"}, error_files={0: os.devnull})
    async with python(script, logs_specs=PathsOf(dest)) as ctx:
        await finish(ctx)
    lines = (tmp_path / "both.log").read_text().splitlines()
    assert [line for line in lines if line.startswith("out")] == [f"out {n}" for n in range(2000)]
    assert [line for line in lines if line.startswith("err")] == [f"err {n}" for n in range(2000)]
    assert len(lines) == 4000


async def test_a_file_that_somebody_empties_goes_on_from_its_beginning(tmp_path: Path) -> None:
    """As logrotate does with ``copytruncate``: no hole of NULs, no offset of ours."""
    script = "echo first; read _ < go; echo second"
    os.mkfifo(tmp_path / "go")
    async with shell(f"cd {tmp_path}; {script}", logs_specs=redirected(tmp_path / "logs")) as ctx:
        await line_of(ctx, "first")
        log = Path(ctx.stdouts[0])
        os.truncate(log, 0)
        (tmp_path / "go").write_text("\n")
        await finish(ctx)
    assert log.read_text() == "second\n"


async def test_without_a_log_directory_there_are_no_files(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(os.devnull, redirects=Std.ALL)
    async with shell("echo $TORCHELASTIC_ERROR_FILE-; exit 1", logs_specs=specs) as ctx:
        result = await finish(ctx)
    assert (result.stdouts, result.stderrs) == ({0: ""}, {0: ""})
    assert result.failures[0].error_file == "<N/A>"


async def test_the_loop_turns_while_ranks_flood_their_files(tmp_path: Path) -> None:
    script = "head -c 20000000 /dev/zero"
    with Heartbeat() as heart:
        async with shell(*[script] * 4, logs_specs=redirected(tmp_path)) as ctx:
            result = await finish(ctx)
    assert heart.busiest < 0.25
    assert {Path(path).stat().st_size for path in result.stdouts.values()} == {20_000_000}


@pytest.mark.parametrize("kind", ["missing directory", "directory", "FIFO without a reader"])
async def test_a_file_that_cannot_be_opened_fails_the_start_and_is_named(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = str({"directory": tmp_path, "missing directory": tmp_path / "no" / "log"}.get(kind, tmp_path / "fifo"))
    good = str(tmp_path / "good")
    dest = LogsDest({0: good, 1: path}, {0: "", 1: ""}, tee_stdouts={0: good, 1: path}, error_files={0: "", 1: ""})
    with pytest.raises(OSError, match=re.escape(repr(path))):
        await shell("exit", "exit", logs_specs=PathsOf(dest))


async def test_a_fifo_can_be_a_log_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    path = {0: str(tmp_path / "fifo")}
    specs = PathsOf(LogsDest(path, {0: ""}, tee_stdouts=path, error_files={0: ""}))
    with console_in(tmp_path / "console"):
        async with shell("echo line", logs_specs=specs) as ctx:
            await finish(ctx)
    assert os.read(reader, 100) == b"line\n"
    os.close(reader)
    assert (tmp_path / "console").read_text() == "[w0]:line\n"


async def test_a_pipe_that_is_told_to_end_gives_what_is_in_it() -> None:
    pipe = Pipe()
    fcntl.fcntl(pipe.write_end, fcntl.F_SETPIPE_SZ, MIB)
    os.set_blocking(pipe.write_end, False)
    assert os.write(pipe.write_end, noise(0, 2 * MIB)) == MIB
    pipe.end_soon()
    got = bytearray()
    while block := await pipe.read():
        got += block
        os.write(pipe.write_end, b"too late")
    pipe.close()
    assert got[:MIB] == noise(0, 2 * MIB)[:MIB]
    assert len(got) < MIB + 1000


async def test_who_is_in_a_hurry_ends_the_rest() -> None:
    pipe = Pipe()
    resting = asyncio.create_task(pipe.rest(3600, 0))
    await asyncio.sleep(0)
    pipe.hurry()
    await asyncio.wait_for(resting, 10)
    await asyncio.wait_for(pipe.rest(3600, 0), 10)
    pipe.close()


async def test_a_pipe_that_is_lent_is_closed_by_who_has_it() -> None:
    pipe = Pipe()
    with pipe.lent() as descriptor:
        pipe.close()
        assert pipe.ends == (descriptor, -1)
        assert os.read(descriptor, 1) == b""  # it is nobody else's yet
    assert pipe.ends == (-1, -1)


async def test_words_far_apart_and_words_in_a_row_are_all_there(tmp_path: Path) -> None:
    script = "for n in 1 2 3 4 5 6; do echo $n; sleep 0.02; done; sleep 0.2; echo end; echo of it >&2"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert Path(result.stdouts[0]).read_text() == "1\n2\n3\n4\n5\n6\nend\n"
    assert Path(result.stderrs[0]).read_text() == "of it\n"
