"""``aelastic run`` and ``torchrun`` side by side: what the ranks of each find."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.helpers.launcher import aelastic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytest.importorskip("torch")

DUMP = """
import json, os, sys
target = sys.argv.pop(1)
with open(os.path.join(target, os.environ["RANK"] + ".json"), "w") as file:
    json.dump({"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd()}, file)
print("said by rank", os.environ["RANK"])
"""
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_ERROR_FILE = r"/.*/({run_id})_\w{{8}}/attempt_0/{rank}/error\.json"

Dump: TypeAlias = dict[str, dict[str, str]]
Dumps: TypeAlias = dict[int, Dump]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "dump.py"
    path.write_text(DUMP)
    return path


def torchrun(*args: str | Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **env}, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dumps_of(directory: Path) -> Dumps:
    return {int(path.stem): json.loads(path.read_text()) for path in sorted(directory.iterdir())}


@pytest.fixture
def both(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Dumps, Dumps]]:
    """Runs the script by both launchers with the same arguments; the dumps of the ranks of each."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def run(*args: str, env: Mapping[str, str]) -> tuple[Dumps, Dumps]:
        port = str(free_port())
        args = tuple(arg.replace("{port}", port) for arg in args)
        env = {key: value.replace("{port}", port) for key, value in env.items()}
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        ours.mkdir()
        theirs.mkdir()
        rest = ("first", "--rank=${local_rank}")
        done = aelastic("run", *args, script, ours, *rest, env=env)
        assert done.returncode == 0, done.stderr
        torchrun(*args, script, theirs, *rest, env=env)
        return dumps_of(ours), dumps_of(theirs)

    return run


def compare(ours: Dump, theirs: Dump, *, rank: int, static: bool) -> None:
    """Key by key; what has to differ, or does so on purpose, is named."""
    mine, torchs = dict(ours["env"]), dict(theirs["env"])
    mine = {key: value for key, value in mine.items() if not key.startswith("AELASTIC_")}
    for key in ("LC_CTYPE", "_", "COVERAGE_PROCESS_START", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"):
        mine.pop(key, None)  # of the interpreter, of the shell, or set by importing torch
        torchs.pop(key, None)
    assert mine.pop("PYTHONUNBUFFERED") == "1"  # for what is started with --no-python; Python has -u from both
    torchs.pop("PYTHONUNBUFFERED", None)
    assert mine.pop("NOTIFY_SOCKET")  # to tell how it goes
    assert mine.pop("TORCHELASTIC_USE_AGENT_STORE") == "False"  # there is no store of ours: rank 0 opens it
    assert torchs.pop("TORCHELASTIC_USE_AGENT_STORE") == "True"
    run_ids = mine["TORCHELASTIC_RUN_ID"], torchs["TORCHELASTIC_RUN_ID"]
    for env, run_id in zip((mine, torchs), run_ids, strict=True):
        assert re.fullmatch(_ERROR_FILE.format(run_id=run_id, rank=rank), env.pop("TORCHELASTIC_ERROR_FILE"))
    if not static:  # each has a new one, and torch names this machine by its full name
        assert all(re.fullmatch(_UUID, run_id) for run_id in run_ids)
        assert all(0 < int(env.pop("MASTER_PORT")) < 65536 for env in (mine, torchs))
        assert mine.pop("MASTER_ADDR") == "127.0.0.1"
        del mine["TORCHELASTIC_RUN_ID"], torchs["TORCHELASTIC_RUN_ID"], torchs["MASTER_ADDR"]
    assert mine == torchs
    assert ours["argv"] == theirs["argv"]
    assert ours["cwd"] == theirs["cwd"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("args", "env", "static"),
    [
        (("--standalone", "--nproc-per-node=2"), {}, False),
        (("--nproc_per_node", "2", "--role", "job"), {"OMP_NUM_THREADS": "3"}, False),
        (("--nproc-per-node=2", "--master-port={port}", "--rdzv_id=x", "--max-restarts=0"), {}, True),
        (("--virtual-local-rank",), {"PET_NPROC_PER_NODE": "2", "PET_MASTER_PORT": "{port}", "PET_ROLE": "job"}, True),
        (("--nproc-per-node=1", "--rdzv-endpoint=localhost:{port}"), {"CUDA_VISIBLE_DEVICES": "3,4"}, True),
    ],
)
def test_the_environment_is_torchruns_key_by_key(
    both: Callable[..., tuple[Dumps, Dumps]], args: tuple[str, ...], env: dict[str, str], static: bool
) -> None:
    ours, theirs = both(*args, env=env)
    assert ours.keys() == theirs.keys()
    assert len(ours) == (1 if "--nproc-per-node=1" in args else 2)
    for rank in ours:
        compare(ours[rank], theirs[rank], rank=rank, static=static)


@pytest.mark.timeout(180)
def test_log_files_and_teed_lines_are_torchruns(script: Path, tmp_path: Path) -> None:
    layouts, shown = [], []
    for name, run in (("ours", aelastic), ("theirs", torchrun)):
        (tmp_path / name).mkdir()
        logs = tmp_path / f"logs-{name}"
        env = {"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": "${role_name}-${local_rank}> "}
        args = ("--nproc-per-node=2", "-t", "0:1,1:3", "-r", "3", "--log-dir", logs, "--rdzv-id=run", "--role=job")
        more = (f"--master-port={free_port()}", "--duplicate-stdout-filters", "rank 1,nothing", script, tmp_path / name)
        done = run("run", *args, *more, env=env) if run is aelastic else torchrun(*args, *more, env=env)
        files = (path for path in logs.rglob("*") if path.is_file())
        layouts.append(sorted((*path.relative_to(logs).parts[1:], path.read_text()) for path in files))
        shown.append(sorted(line for line in done.stdout.splitlines() if "job" in line))
    assert shown[0] == shown[1] == ["job-0> said by rank 0", "job-1> said by rank 1"]
    ours, theirs = ([one for one in layout if one[-1]] for layout in layouts)  # torch makes the empty filtered log, too
    assert ours == theirs
