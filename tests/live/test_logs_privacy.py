"""Who may read the logs: their owner alone, unless told otherwise."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aelastic import LogsDest, PContext
from tests.helpers.apps import LOOPS
from tests.helpers.logs import PathsOf, finish
from tests.helpers.ranks import python, redirected, shell

NAMES = {"stdout.log", "stderr.log", "filtered_stdout.log", "error.json"}

APPLICATION = """
import os, sys
import aelastic
from tests.helpers.apps import run_on
from tests.helpers.functions import act

FAILS = '''
from aelastic.errors import record
@record
def main():
    print("x")
    raise ValueError("the reason")
main()
'''

async def main(directory, private):
    for method, run in {
        "spawn": (sys.executable, {0: ("-c", FAILS)}, {0: {}}),
        "fork": (act, {0: ("raises", "the reason")}, {0: {}}),
    }.items():
        specs = aelastic.DefaultLogsSpecs(os.path.join(directory, method, "logs"), tee=aelastic.Std.ALL, **private)
        async with aelastic.start_processes(
            "w", *run, start_method=method, logs_specs=specs, duplicate_stdout_filters=["x"]
        ) as ctx:
            result = await ctx.wait()
        assert "the reason" in result.failures[0].reason, result

run_on(sys.argv[1], main(sys.argv[2], eval(sys.argv[3])))
"""


def modes(paths: list[Path]) -> set[str]:
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in paths}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("umask", [0, 0o022])
@pytest.mark.parametrize(
    ("options", "directory_mode", "file_mode"), [({}, 0o700, 0o600), ({"private": False}, 0o777, 0o666)]
)
def test_what_a_run_makes(
    options: dict[str, bool], directory_mode: int, file_mode: int, umask: int, loop: str, tmp_path: Path
) -> None:
    """The umask is the process's, and belongs to all its threads: an application of its own has its own."""
    command = [sys.executable, "-c", APPLICATION, loop, str(tmp_path), repr(options)]
    subprocess.run(command, umask=umask, cwd=Path(__file__).parents[2], check=True, stdout=subprocess.DEVNULL)
    made = list(tmp_path.rglob("*"))
    files = [path for path in made if path.is_file()]
    assert {path.name for path in files} == NAMES
    assert modes(files) == {oct(file_mode & ~umask)}
    assert modes([path for path in made if path.is_dir()]) == {oct(directory_mode & ~umask)}


@pytest.mark.asyncio
async def test_what_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    paths = {name: tmp_path / name for name in ("out", "err")}
    paths["out"].touch()
    paths["out"].chmod(0o644)
    dest = LogsDest({0: str(paths["out"])}, {0: str(paths["err"])}, error_files={0: os.devnull})
    async with shell("echo x", logs_specs=PathsOf(dest)) as ctx:
        await finish(ctx)
    assert [modes([path]) for path in (tmp_path, *paths.values())] == [{"0o755"}, {"0o644"}, {"0o600"}]


async def told_by_its_rank(ctx: PContext) -> str:
    return Path((await finish(ctx)).stdouts[0]).read_text()


@pytest.mark.asyncio
async def test_a_rank_does_not_inherit_who_may_read_the_logs_of_its_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import os; print(os.environ.get('AELASTIC_PRIVATE_LOGS'))"
    monkeypatch.setenv("AELASTIC_PRIVATE_LOGS", "0")
    async with python(script, logs_specs=redirected(tmp_path)) as ctx:
        assert await told_by_its_rank(ctx) == "None\n"
    async with python(script, logs_specs=redirected(tmp_path, private=False)) as ctx:
        assert await told_by_its_rank(ctx) == "0\n"
