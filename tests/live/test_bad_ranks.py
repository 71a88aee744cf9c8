"""Ranks that misuse what they were given: their error file, their streams, the console."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path

import pytest

import aelastic
from aelastic import RankExited, Std
from tests.helpers.logs import PipeConsole, console_in, finish
from tests.helpers.ranks import line_of, python, redirected

pytestmark = pytest.mark.asyncio

# Error files, as the ranks themselves make them. (Others are in test_context.py and, without ranks, test_reports.py.)

MAKES = """
import os, pathlib, sys
path = pathlib.Path(os.environ["TORCHELASTIC_ERROR_FILE"])
{}
sys.exit(3)
"""

USELESS = {
    "loop of links": ("path.symlink_to(path)", "symbolic links"),
    "link to an endless device": ("path.symlink_to('/dev/zero')", "not a regular file"),
    "deep": ("path.write_text('[' * 200_000)", "nested too deeply"),
    "deep enough to be read": ("path.write_text('{\"message\": ' + '[' * 500 + ']' * 500 + '}')", "nested too deeply"),
    "half a character": ('path.write_bytes(b\'{"message": "caf\\xc3\')', "not JSON"),
    "a number too long": ("path.write_text('{\"message\": \"x\", \"n\": ' + '9' * 5000 + '}')", "not JSON"),
    "no message": ("path.write_text('{\"message\": NaN}')", "no message"),
}


@pytest.mark.parametrize("kind", USELESS)
async def test_an_error_file_that_is_no_use_is_told(kind: str, tmp_path: Path) -> None:
    make, problem = USELESS[kind]
    async with asyncio.timeout(30), python(MAKES.format(make), logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: 3}
    assert "could not be used" in result.failures[0].reason
    assert problem in result.failures[0].reason


ODD = {
    "every type is wrong": (
        """{"message": {"message": [1, null], "extraInfo": {"py_callstack": {"a": -Infinity}, "timestamp": NaN}},"""
        """ "timestamp": {}, "errorCode": "x"}"""
    ),
    "extra info is no object": '{"message": {"message": 1e999, "extraInfo": [[[]]]}}',
    "text that no console can show": r'{"message": "caf\udce9"}',
    "a time at the end of all days": '{"message": "x", "timestamp": 1e300}',
}


@pytest.mark.parametrize("kind", ODD)
async def test_an_error_file_with_odd_content_makes_a_failure_that_can_be_shown_and_sent(
    kind: str, tmp_path: Path
) -> None:
    script = MAKES.format(f"path.write_text({ODD[kind]!r})")
    async with python(script, logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    failure, error = result.failures[0], aelastic.ChildFailedError("w", result.failures)
    assert failure.exitcode == 3
    assert "message" in failure.error_file_data
    assert "could not be used" not in failure.reason
    for text in (str(error), repr(result), failure.reason, failure.timestamp_isoformat()):
        text.encode()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own


# Streams

MISUSES = {
    "closes stdout": ("os.close(1)", "", "1 2"),
    "closes stderr": ("os.close(2)", "1 2", ""),
    "sends stderr to stdout": ("os.dup2(1, 2)", "1 1 2 2", ""),
    "sends stdout to stderr": ("os.dup2(2, 1)", "", "1 1 2 2"),
    "exchanges them": ("keep = os.dup(1); os.dup2(2, 1); os.dup2(keep, 2); os.close(keep)", "1 2", "1 2"),
    "opens stdout anew": ("new = os.open('/proc/self/fd/1', os.O_WRONLY); os.close(1); os.dup2(new, 1)", "1 2", "1 2"),
    "opens stdout to read, too": ("os.dup2(os.open('/proc/self/fd/1', os.O_RDWR), 1)", "1 2", "1 2"),
    "does not wait": ("os.set_blocking(1, False); os.set_blocking(2, False)", "1 2", "1 2"),
    "makes its pipe small": ("import fcntl; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)", "1 2", "1 2"),
    "truncates stdout": ("\ntry: os.ftruncate(1, 0)\nexcept OSError: pass", "1 2", "1 2"),
}
TALKS = """
import os, time
def say(text):
    for stream in (1, 2):
        try:
            os.write(stream, text + b"\\n")
        except OSError:
            pass
{misuse}
say(b"1")
time.sleep(0.1)
say(b"2")
raise SystemExit({exitcode})
"""


@pytest.mark.parametrize("misuse", MISUSES)
async def test_a_rank_that_misuses_its_streams_hurts_no_other(misuse: str, tmp_path: Path) -> None:
    code, out, err = MISUSES[misuse]
    scripts = TALKS.format(misuse=code, exitcode=5), TALKS.format(misuse="pass", exitcode=0)
    specs = redirected(tmp_path / "logs", tee=Std.ALL)
    with console_in(tmp_path / "console"):
        async with asyncio.timeout(30), python(*scripts, failure_grace=20, logs_specs=specs) as ctx:
            result = await finish(ctx)
    assert result.exitcodes == {0: 5, 1: 0}
    wanted = {0: (out, err), 1: ("1 2", "1 2")}
    for rank, texts in wanted.items():
        files = (result.stdouts[rank], result.stderrs[rank])
        assert [Path(path).read_text().split() for path in files] == [text.split() for text in texts]
    lines = [f"[w{rank}]:{n}" for rank, texts in wanted.items() for n in " ".join(texts).split()]
    assert sorted((tmp_path / "console").read_text().split()) == sorted(lines)


# A console that takes nothing

FLOODS = """
import os
for _ in range(1000): os.write(1, b"x" * 9_999 + b"\\n")
"""


async def test_a_flood_and_a_stuck_console_do_not_concern_other_ranks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    script = f"import os; print('ready', flush=True); open('{tmp_path}/go').read(); print('still here', flush=True)"
    with PipeConsole() as console:
        async with asyncio.timeout(30), python(FLOODS, script, logs_specs=redirected(tmp_path, tee=Std.OUT)) as ctx:
            async for event in ctx.events():
                if isinstance(event, RankExited):
                    break
            (tmp_path / "go").write_text("")
            assert (await line_of(ctx, "still here", rank=1)).rank == 1
            result = await finish(ctx)
        console.close_reader()
    assert not result.is_failed()
    assert Path(result.stdouts[0]).stat().st_size == 10_000_000
    assert Path(result.stdouts[1]).read_text() == "ready\nstill here\n"
