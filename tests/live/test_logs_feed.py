"""Live lines: ``ctx.logs()``, and what failures and snapshots remember of the output."""

from __future__ import annotations

import asyncio
import gc
import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

import aelastic
from aelastic import LogLine, Std
from tests.helpers.logs import finish
from tests.helpers.ranks import line_of, python, redirected, shell
from tests.helpers.supervisors import supervised

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

COUNT = "import os\nfor n in range({}): os.write(1, b'%d\\n' % n)"


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A FIFO for one line: a rank that has read it goes on."""
    os.mkfifo(tmp_path / "go")
    return tmp_path / "go"


async def collected(lines: aelastic.Subscription[LogLine]) -> list[LogLine]:
    return [line async for line in lines]


async def texts(lines: aelastic.Subscription[LogLine]) -> list[str]:
    return [line.text for line in await collected(lines)]


async def test_lines_come_while_the_rank_runs(tmp_path: Path, go: Path) -> None:
    async with shell(f"echo question; read answer < {go}; echo $answer", logs_specs=redirected(tmp_path)) as ctx:
        lines = ctx.logs()
        first = await anext(lines)
        assert ctx.result is None
        go.write_text("answer\n")
        assert (first.rank, first.stream, first.text, first.partial) == (0, Std.OUT, "question", False)
        assert await texts(lines) == ["answer"]


@pytest.mark.parametrize("source", ["context", "supervisor"])
async def test_consumers_that_can_wait_get_little_lines_together(tmp_path: Path, source: str) -> None:
    script = "import os, time\nfor n in range(200): os.write(1, b'%d\\n' % n); time.sleep(0.005)"
    command = shlex.join([sys.executable, "-c", script])
    start = shell if source == "context" else supervised
    async with start(command, logs_specs=redirected(tmp_path)) as ctx:
        views = [ctx.logs(max_delay=0.1), ctx.logs(max_delay=1)]
        seen = await asyncio.gather(*map(collected, views))
    for lines in seen:
        assert [line.text for line in lines] == [str(n) for n in range(200)]
        assert len({line.time for line in lines}) <= 10 + 20 * (lines[-1].time - lines[0].time)


async def test_a_delay_is_a_number_of_seconds(tmp_path: Path) -> None:
    async with shell("echo", logs_specs=redirected(tmp_path)) as ctx:
        for bad in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="max_delay"):
                ctx.logs(max_delay=bad)


async def test_any_number_of_consumers_by_rank_and_stream(tmp_path: Path) -> None:
    script = "echo out; echo err >&2"
    async with shell(script, script, logs_specs=redirected(tmp_path)) as ctx:
        views = [ctx.logs(), ctx.logs(1), ctx.logs(stream=Std.ERR), ctx.logs(0, Std.OUT), ctx.logs(0, Std.NONE)]
        seen = await asyncio.gather(*map(texts, views))
        late = await texts(ctx.logs())  # the run is over
    assert [sorted(lines) for lines in seen] == [["err"] * 2 + ["out"] * 2, ["err", "out"], ["err"] * 2, ["out"], []]
    assert sorted(late) == ["err", "err", "out", "out"]


async def test_a_first_subscriber_misses_nothing_and_gets_nothing_twice(tmp_path: Path, go: Path) -> None:
    """It gets what is remembered, the rest of the line that was unfinished just then, and all that follows."""
    script = f"for n in $(seq 500); do echo early $n; done; printf 'in two '; echo . >&2; read _ < {go}; echo parts"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, ".")
        await line_of(ctx, "early 500")
        lines, other = ctx.logs(stream=Std.OUT), ctx.logs(stream=Std.OUT)
        go.write_text("\n")
        assert await texts(lines) == [*(f"early {n}" for n in range(1, 501)), "in two parts"]
        assert await texts(other) == [*(f"early {n}" for n in range(1, 501)), "in two parts"]


async def test_a_late_subscriber_begins_with_a_whole_line(tmp_path: Path) -> None:
    async with python(COUNT.format(20_000), logs_specs=redirected(tmp_path)) as ctx:
        await finish(ctx)
        remembered = await texts(ctx.logs())
    assert remembered == [str(n) for n in range(20_000 - len(remembered), 20_000)]
    assert len(remembered) > 16 * 1024 // len("19999\n") - 1


async def test_a_consumer_that_lags_loses_the_oldest_and_knows_how_many(tmp_path: Path) -> None:
    async with python(COUNT.format(30_000), logs_specs=redirected(tmp_path)) as ctx:
        slow, fast = ctx.logs(capacity=100), ctx.logs(capacity=1_000_000)
        last = await texts(fast)
        assert fast.dropped == 0
        assert last == [str(n) for n in range(30_000)]
        assert slow.dropped == 29_900
        assert await texts(slow) == last[-100:]


async def test_a_consumer_that_left_is_forgotten(tmp_path: Path, go: Path) -> None:
    async with shell(f"echo 1; read _ < {go}; seq 20000", logs_specs=redirected(tmp_path)) as ctx:
        async for line in ctx.logs():
            assert line.text == "1"
            break
        del line
        gc.collect()
        go.write_text("\n")
        await finish(ctx)
        assert not [one for one in gc.get_objects() if type(one) is LogLine]


async def test_a_consumer_can_be_cancelled_and_go_on(tmp_path: Path, go: Path) -> None:
    async with shell(f"read _ < {go}; echo here", logs_specs=redirected(tmp_path)) as ctx:
        lines = ctx.logs()
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        go.write_text("\n")
        assert await texts(lines) == ["here"]


async def test_a_closed_subscription_gives_what_waits_and_ends(tmp_path: Path, go: Path) -> None:
    async with shell(f"echo 1; echo 2; read _ < {go}; echo 3", logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "2")
        lines = ctx.logs()
        lines.close()
        go.write_text("\n")
        assert await texts(lines) == ["1", "2"]


async def test_a_long_line_comes_in_marked_pieces_and_no_character_is_torn(tmp_path: Path) -> None:
    script = "import sys; sys.stdout.buffer.write(b'x' + 'é€𝄞'.encode() * 50_000 + b'\\nnext\\n')"
    async with python(script, logs_specs=redirected(tmp_path)) as ctx:
        lines = [line async for line in ctx.logs()]
    assert lines[-1].text == "next"
    assert [line.partial for line in lines[:-1]] == [True] * (len(lines) - 2) + [False]
    assert "".join(line.text for line in lines[:-1]) == "x" + "é€𝄞" * 50_000


async def test_bytes_that_are_no_text_are_replaced_and_line_ends_are_only_those(tmp_path: Path) -> None:
    script = """
import os
os.write(1, b"\\xff\\0\\x0c\\x85|\\xe2\\x80\\xa8|\\r\\nlast\\xe2\\x82")
os.write(2, b"a\\x0cb\\n\\n")
os._exit(1)
"""
    async with python(script, logs_specs=redirected(tmp_path)) as ctx:
        out, err = await asyncio.gather(texts(ctx.logs(stream=Std.OUT)), texts(ctx.logs(stream=Std.ERR)))
        result = await finish(ctx)
    assert out == ["\ufffd\0\x0c\ufffd|\u2028|", "last\ufffd"]
    assert err == ["a\x0cb", ""]
    assert result.failures[0].stderr_tail == "a\x0cb\n"


async def test_without_a_captured_stream_there_is_nothing_to_iterate() -> None:
    async with shell("exit") as ctx:
        with pytest.raises(aelastic.NotRunningError, match="no stream is captured"):
            ctx.logs()


async def test_a_capacity_of_nothing_is_refused(tmp_path: Path) -> None:
    async with shell("exit", logs_specs=redirected(tmp_path)) as ctx:
        with pytest.raises(ValueError, match="capacity"):
            ctx.logs(capacity=0)


async def test_a_failure_ends_with_the_last_lines_of_its_standard_error(tmp_path: Path) -> None:
    script = "for n in $(seq 3000); do echo line $n >&2; done; printf 'a\\rb\\rc' >&2; exit 1"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert result.failures[0].stderr_tail.split("\n") == [*(f"line {n}" for n in range(2982, 3001)), "c"]


async def test_a_failure_whose_last_line_is_longer_than_memory_shows_its_end(tmp_path: Path) -> None:
    async with python("import sys; sys.exit('x' * 100_000 + 'reason')", logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert result.failures[0].stderr_tail.endswith("xxxreason")


async def test_a_snapshot_shows_the_last_line_of_either_stream(tmp_path: Path, go: Path) -> None:
    os.mkfifo(tmp_path / "end")
    script = f"echo first; read _ < {go}; echo second >&2; read _ < {tmp_path}/end"
    async with shell(script, logs_specs=redirected(tmp_path)) as ctx:
        await line_of(ctx, "first")
        assert ctx.snapshot()[0].last_line == "first"
        go.write_text("\n")
        await line_of(ctx, "second")
        assert ctx.snapshot()[0].last_line == "second"
        (tmp_path / "end").write_text("\n")
        await finish(ctx)
        assert ctx.snapshot()[0].last_line == "second"


async def test_who_comes_in_the_middle_misses_nothing_from_then_on(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "for n in range(0, 10**9, 1000):\n"
        "    os.write(1, b''.join(b'%d\\n' % i for i in range(n, n + 1000)))\n"
        "    time.sleep(0.001)"
    )
    async with python(script, logs_specs=redirected(tmp_path), shutdown_timeout=5) as ctx:
        for _ in range(20):
            lines = ctx.logs()
            numbers = [int((await anext(lines)).text) for _ in range(3000)]
            assert numbers[-1] - numbers[0] + 1 - len(numbers) <= lines.dropped
            assert numbers == sorted(numbers)
            lines.close()
            await asyncio.sleep(0.005)  # nobody looks on: the thread that writes the file reads


async def test_a_line_that_ends_after_its_reader_has_gone_is_whole_for_the_next(tmp_path: Path, go: Path) -> None:
    script = f"printf 'one\\nhal'; read answer < {go}; echo f; echo two; sleep 600"
    async with shell(script, logs_specs=redirected(tmp_path), shutdown_timeout=5) as ctx:
        first = ctx.logs()
        assert (await anext(first)).text == "one"
        first.close()
        go.write_text("\n")
        while ctx.snapshot()[0].last_line != "two":  # noqa: ASYNC110 - nobody looks on, so nobody tells
            await asyncio.sleep(0.001)
        second = ctx.logs()
        assert [(await anext(second)).text for _ in range(3)] == ["one", "half", "two"]
