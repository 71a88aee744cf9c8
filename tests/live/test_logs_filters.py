"""``duplicate_stdout_filters`` and ``duplicate_stderr_filters``, and other choices of what is shown where."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from aelastic import DefaultLogsSpecs, Std
from tests.helpers.logs import console_in, finish
from tests.helpers.ranks import python, redirected, shell

pytestmark = pytest.mark.asyncio


def filtered(tmp_path: Path, stream: str = "stdout") -> Path:
    (path,) = (tmp_path / "logs").rglob(f"filtered_{stream}.log")
    return path


async def test_matching_lines_of_all_teed_ranks_are_gathered_with_their_header(tmp_path: Path) -> None:
    script = "for n in $(seq 2000); do echo loss $n; echo other $n; echo accuracy $n >&2; done"
    specs = redirected(tmp_path / "logs", tee={0: Std.ALL, 2: Std.ALL})
    with console_in(tmp_path / "console"):
        async with shell(
            *[script] * 3,
            logs_specs=specs,
            log_line_prefixes={2: "two "},
            duplicate_stdout_filters=["loss", "nothing"],
            duplicate_stderr_filters=["accuracy 1999", "accuracy 2000"],
        ) as ctx:
            await finish(ctx)
            lines = filtered(tmp_path).read_text().splitlines()
    for prefix in ("[w0]:", "two "):
        assert [line for line in lines if line.startswith(prefix)] == [f"{prefix}loss {n}" for n in range(1, 2001)]
    assert len(lines) == 4000
    assert Counter(filtered(tmp_path, "stderr").read_text().splitlines()) == {
        f"{prefix}accuracy {n}": 1 for prefix in ("[w0]:", "two ") for n in (1999, 2000)
    }


async def test_the_header_does_not_match_and_an_unfinished_line_does(tmp_path: Path) -> None:
    script = "import os; os.write(1, b'a line\\nw0 said so\\rw0 now\\nw0 at the end')"
    with console_in(tmp_path / "console"):
        async with python(
            script, logs_specs=redirected(tmp_path / "logs", tee=Std.OUT), duplicate_stdout_filters=["w0"]
        ) as ctx:
            await finish(ctx)
    assert filtered(tmp_path).read_text() == "[w0]:w0 said so\n[w0]:w0 now\n[w0]:w0 at the end\n"


async def test_an_empty_filter_matches_every_line_once(tmp_path: Path) -> None:
    with console_in(tmp_path / "console"):
        async with shell(
            "echo 1; sleep 0.01; echo; echo 3",
            logs_specs=redirected(tmp_path / "logs", tee=Std.OUT),
            duplicate_stdout_filters=[""],
        ) as ctx:
            await finish(ctx)
    assert filtered(tmp_path).read_text() == "[w0]:1\n[w0]:\n[w0]:3\n"


async def test_without_a_log_directory_filters_do_nothing(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(os.devnull, tee=Std.ALL)
    async with shell("exit", logs_specs=specs, duplicate_stdout_filters=["x"]) as ctx:
        result = await finish(ctx)
    assert not result.is_failed()


async def test_header_and_replacement(tmp_path: Path) -> None:
    with console_in(tmp_path / "console"):
        async with shell(
            "echo zero",
            "echo one",
            name="trainer",
            log_line_prefixes={1: "ein|"},
            logs_specs=redirected(tmp_path / "logs", tee=Std.ALL),
        ) as ctx:
            await finish(ctx)
    assert sorted((tmp_path / "console").read_text().splitlines()) == ["[trainer0]:zero", "ein|one"]


async def test_an_empty_header_leaves_the_lines_alone(tmp_path: Path) -> None:
    with console_in(tmp_path / "console"):
        async with shell(
            "echo bare; printf end",
            log_line_prefixes={0: ""},
            logs_specs=redirected(tmp_path / "logs", tee=Std.ALL),
        ) as ctx:
            await finish(ctx)
    assert (tmp_path / "console").read_text() == "bare\nend"


async def test_a_rank_outside_the_local_filter_is_not_shown_but_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    specs = DefaultLogsSpecs(str(tmp_path / "logs"), tee=Std.OUT, local_ranks_filter={1})
    script = "echo out; echo err >&2"
    with console_in(tmp_path / "console"):
        async with shell(script, script, logs_specs=specs, duplicate_stdout_filters=["out"]) as ctx:
            result = await finish(ctx)
    assert (tmp_path / "console").read_text() == "[w1]:out\n"
    assert [Path(result.stdouts[rank]).read_text() for rank in (0, 1)] == ["out\n", "out\n"]
    assert result.stderrs == {0: os.devnull, 1: ""}
    assert capfd.readouterr().err == "err\n"
    assert filtered(tmp_path).read_text() == "[w1]:out\n"
