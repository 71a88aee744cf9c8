"""The ``aelastic`` command, as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.launcher import aelastic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def test_help_teaches() -> None:
    shown = aelastic("run", "--help")
    assert shown.returncode == 0
    assert "aelastic run --nproc-per-node 4 --tee 3 train.py" in shown.stdout


def test_a_wrong_flag_suggests_the_right_one() -> None:
    refused = aelastic("run", "--tea", "3", "x.py")
    assert refused.returncode == 2
    assert "--tee" in refused.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "echo", "hello"), "--no-python"),
        (("run", "-t", "4", "x.py"), "3 both"),
        (("run", "--nproc-per-node", "0", "x.py"), "neither a number, 1 or more"),
        (("run", "-m", "--no-python", "x"), "-m names a module"),
        (("run", "--log-dir", __file__, __file__), "is a file"),
        (("run", "--no-python", "no-such-program"), "rank 0: the program was not found"),
    ],
)
def test_a_mistake_is_explained(args: tuple[str, ...], says: str) -> None:
    refused = aelastic(*args)
    assert refused.returncode in (1, 2)
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr


def test_ranks_are_shown_with_prefixes_and_get_torchruns_environment(script: Path) -> None:
    names = (
        "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_RANK GROUP_WORLD_SIZE ROLE_NAME ROLE_RANK ROLE_WORLD_SIZE "
        "MASTER_ADDR TORCHELASTIC_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS TORCHELASTIC_USE_AGENT_STORE"
    )
    script.write_text(f"import os, sys; print(*(os.environ[n] for n in {names.split()!r}), *sys.argv[1:])")
    done = aelastic("run", "--nproc_per_node", "2", "--tee", "3", "--role", "job", str(script), "--flag", "-h")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"[job{rank}]:{rank} {rank} 2 2 0 1 job {rank} 2 127.0.0.1 0 0 False --flag -h" for rank in range(2)
    ]


def test_the_ranks_share_a_free_port(script: Path) -> None:
    script.write_text("import os; print(os.environ['MASTER_PORT'], os.environ['TORCHELASTIC_RUN_ID'])")
    done = aelastic("run", "--nproc-per-node", "3", "--tee", "1", str(script))
    assert len({line.partition(":")[2] for line in done.stdout.splitlines()}) == 1


def test_a_module_is_run(tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text("import sys; print('module', __name__, sys.argv[1:])")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = aelastic("run", "-m", "my_module", "a", env={"PYTHONPATH": path})
    assert done.stdout == "module __main__ ['a']\n"


def test_any_program_is_run() -> None:
    assert aelastic("run", "--no-python", "echo", "-n", "hello").stdout == "hello"


def test_the_first_failing_rank_gives_the_exit_status_and_the_reason(script: Path, tmp_path: Path) -> None:
    script.write_text(
        "import os, time\n"
        "from aelastic.errors import record\n"
        "@record\n"
        "def main():\n"
        "    if os.environ['RANK'] == '1':\n"
        "        raise ValueError('no such luck')\n"
        "    time.sleep(60)\n"
        "main()\n"
    )
    logs = tmp_path / "logs"
    failed = aelastic("run", "--nproc-per-node", "2", "--redirects", "3", "--log-dir", str(logs), str(script))
    assert failed.returncode == 1
    assert "aelastic: rank 1 exited with code 1: ValueError: no such luck" in failed.stderr
    assert "in main" in failed.stderr  # the traceback
    assert f"logs are in {logs}" in failed.stderr


@pytest.mark.parametrize(("ending", "status"), [("exit 7", 7), ("kill -SEGV $$", 128 + signal.SIGSEGV)])
def test_the_exit_status_is_the_ranks_own(ending: str, status: int) -> None:
    assert aelastic("run", "--no-python", "sh", "-c", ending).returncode == status


def test_the_last_lines_of_stderr_are_shown_without_an_error_file() -> None:
    failed = aelastic("run", "--redirects", "3", "--no-python", "sh", "-c", "echo the cause >&2; exit 3")
    assert "stderr    : the cause" in failed.stderr


def test_a_closed_pipe_does_not_stop_the_ranks(script: Path, tmp_path: Path) -> None:
    script.write_text("for number in range(20000): print('line', number)")
    command = [sys.executable, "-m", "aelastic", "run", "--tee", "1", "--log-dir", str(tmp_path / "logs"), str(script)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    (log,) = (tmp_path / "logs").rglob("stdout.log")
    assert log.read_text().endswith("line 19999\n")
