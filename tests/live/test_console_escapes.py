"""Escape sequences of ranks: shown by a terminal, kept from everything else, always in the log files."""

from __future__ import annotations

import contextlib
import os
import pty
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aelastic import RankExited, Std
from tests.helpers.logs import PipeConsole, Text, console_in, finish
from tests.helpers.ranks import python, redirected

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio

COLOURED = b"\x1b[32mgreen\x1b[0m\a\n\x1b]0;a title\n100%\r\x1b[Kloss \x1b[1m0.5\x1b[m\x07\n"
RANK = f"import os; os.write(1, {COLOURED!r})"
AS_IT_IS = b"[w0]:\x1b[32mgreen\x1b[0m\a\n[w0]:\x1b]0;a title\n[w0]:100%\n[w0]:\x1b[Kloss \x1b[1m0.5\x1b[m\a\n"
PLAIN = b"[w0]:green\n[w0]:\n[w0]:100%\n[w0]:loss 0.5\n"


@contextmanager
def terminal() -> Iterator[int]:
    """Make a terminal what ``sys.stdout`` leads to; what it shows can be read from the descriptor."""
    master, slave = pty.openpty()
    with open(slave, "w") as file, contextlib.redirect_stdout(file):
        yield master
    os.close(master)


@pytest.mark.parametrize(("strip", "expected"), [(None, PLAIN), (True, PLAIN), (False, AS_IT_IS)])
async def test_on_a_console_that_is_no_terminal(strip: bool | None, expected: bytes, tmp_path: Path) -> None:
    specs = redirected(tmp_path / "logs", tee=Std.OUT)
    with console_in(tmp_path / "console"):
        async with python(RANK, logs_specs=specs, strip_escapes=strip) as ctx:
            texts = [line.text async for line in ctx.logs()]
            result = await finish(ctx)
    assert (tmp_path / "console").read_bytes() == expected
    assert Path(result.stdouts[0]).read_bytes() == COLOURED
    assert texts == COLOURED.decode().replace("\r", "\n").splitlines()


@pytest.mark.parametrize(("strip", "expected"), [(None, AS_IT_IS), (True, PLAIN), (False, AS_IT_IS)])
async def test_on_a_terminal(strip: bool | None, expected: bytes, tmp_path: Path) -> None:
    with terminal() as screen:
        async with python(RANK, logs_specs=redirected(tmp_path, tee=Std.OUT), strip_escapes=strip) as ctx:
            await finish(ctx)
        assert os.read(screen, 4096).replace(b"\r\n", b"\n") == expected


async def test_each_stream_is_shown_as_its_own_destination_wants_it(tmp_path: Path) -> None:
    script = RANK + f"; os.write(2, {COLOURED!r})"
    with console_in(tmp_path / "console"), terminal() as screen:
        async with python(script, logs_specs=redirected(tmp_path / "logs", tee=Std.ALL)) as ctx:
            await finish(ctx)
        assert os.read(screen, 4096).replace(b"\r\n", b"\n") == AS_IT_IS
    assert (tmp_path / "console").read_bytes() == PLAIN


async def test_a_text_stream_that_says_that_it_is_a_terminal_is_one(tmp_path: Path) -> None:
    class Screen(Text):
        def isatty(self) -> bool:
            return True

    with contextlib.redirect_stdout(Screen()) as screen:
        async with python(RANK, logs_specs=redirected(tmp_path, tee=Std.OUT)) as ctx:
            await finish(ctx)
    assert screen.getvalue() == AS_IT_IS.decode()


@pytest.mark.parametrize(
    ("strip", "expected"),
    [(None, b"[w0]:loss 0.5\n"), (True, b"[w0]:loss 0.5\n"), (False, AS_IT_IS.splitlines(keepends=True)[-1])],
)
async def test_filtered_logs_are_plain_unless_told_otherwise(
    strip: bool | None, expected: bytes, tmp_path: Path
) -> None:
    """Also beside a terminal: the file will be read by programs."""
    needle = "loss \x1b[1m0.5" if strip is False else "loss 0.5"
    specs = redirected(tmp_path / "logs", tee=Std.OUT)
    with terminal():
        async with python(RANK, logs_specs=specs, duplicate_stdout_filters=[needle], strip_escapes=strip) as ctx:
            await finish(ctx)
    (filtered,) = (tmp_path / "logs").rglob("filtered_stdout.log")
    assert filtered.read_bytes() == expected


async def test_what_a_slow_console_reads_back_from_the_log_is_plain_too(tmp_path: Path) -> None:
    script = f"import os\nfor n in range(1000): os.write(1, b'\\x1b[32m%09d\\x1b[0m\\n' % n * {500})"
    with PipeConsole() as console:
        async with python(script, drain_timeout=30, logs_specs=redirected(tmp_path, tee=Std.OUT)) as ctx:
            async for event in ctx.events():
                if isinstance(event, RankExited):
                    break
            console.read()
            await finish(ctx)
    assert bytes(console.got) == b"".join(b"[w0]:%09d\n" % n * 500 for n in range(1000))
