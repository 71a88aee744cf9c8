"""Nothing stands between this process and a program that it runs: no shell, and nobody who reads its arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import aelastic
from tests.helpers.ranks import line_of, redirected

pytestmark = pytest.mark.asyncio

# fmt: off
HOSTILE = (
    "", " ", "a b", "line\nline", "ü", os.fsdecode(b"\xff"), "$(touch owned)", "`touch owned`", "; touch owned",
    "> owned", "| cat", "&", "*", "~", "\\", '"', "'", "!", "#", "$HOME", "-c", "--",
)
# fmt: on
READY = "import signal; print('ready', flush=True); signal.sigtimedwait({signal.SIGTERM}, 60)"
BOUND = aelastic.NumaOptions(aelastic.AffinityMode.NODE, should_fall_back_if_binding_fails=True)


def parent_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


def arguments_of(pid: int) -> tuple[str, ...]:
    return tuple(map(os.fsdecode, Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]))


@pytest.mark.parametrize("options", [None, BOUND], ids=["anywhere", "bound"])
async def test_a_program_is_our_child_and_has_the_arguments_that_were_given(
    options: aelastic.NumaOptions | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = {rank: ("-c", READY, str(rank), *HOSTILE) for rank in range(2)}
    async with aelastic.start_processes(
        "w", sys.executable, args, {0: {}, 1: {}}, logs_specs=redirected(tmp_path / "logs"), numa_options=options
    ) as ctx:
        for rank, pid in ctx.pids().items():
            await line_of(ctx, "ready", rank)
            assert parent_of(pid) == os.getpid()
            assert arguments_of(pid) == (sys.executable, *args[rank])
    assert os.listdir(tmp_path) == ["logs"]


async def test_the_name_of_a_program_is_not_read_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "mine $(touch owned); eep | cat"
    os.symlink("/bin/sh", tmp_path / name)  # that this program is a shell is its own affair
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    args = ("-c", "echo ready; sleep 60; true")
    async with aelastic.start_processes(
        "w", name, {0: args}, {0: env}, logs_specs=redirected(tmp_path / "logs")
    ) as ctx:
        await line_of(ctx, "ready")
        assert parent_of(ctx.pids()[0]) == os.getpid()
        assert arguments_of(ctx.pids()[0]) == (name, *args)
    assert sorted(os.listdir(tmp_path)) == ["logs", name]
