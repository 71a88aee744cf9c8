"""What the options of ``aelastic run`` do to real ranks."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.launcher import aelastic

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


START_METHODS = pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])


@START_METHODS
def test_a_script_by_runpy(script: Path, method: str) -> None:
    script.write_text("import os, sys; print(__name__, os.environ['RANK'], *sys.argv, flush=True)")
    done = aelastic(
        "run", "--run-path", "--start-method", method, "--nproc=2", "-t3", script, "--x=${local_rank}", "-h"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"[default{rank}]:__main__ {rank} {script} --x={rank} -h" for rank in range(2)
    ]


@pytest.mark.parametrize(
    ("method", "ending", "status", "says"),
    [
        ("spawn", "raise ValueError('no luck')", 1, "ValueError: no luck"),
        ("fork", "import sys; sys.exit(4)", 4, "exited with code 4"),
        ("forkserver", "import os; os._exit(0)", 1, "ended without delivering its value"),
    ],
)
def test_a_script_by_runpy_that_fails(script: Path, method: str, ending: str, status: int, says: str) -> None:
    script.write_text(ending)
    failed = aelastic("run", "--run-path", "--start-method", method, "--redirects=3", script)
    assert failed.returncode == status, failed.stderr
    assert says in failed.stderr


def test_the_interpreter_can_be_chosen(script: Path, tmp_path: Path) -> None:
    script.write_text("import os; print(os.environ['CHOSEN'])")
    chosen = tmp_path / "python"
    chosen.write_text(f'#!/bin/sh\nCHOSEN=yes exec {sys.executable} "$@"\n')
    chosen.chmod(0o755)
    assert aelastic("run", script, env={"PYTHON_EXEC": str(chosen)}).stdout == "yes\n"


def test_a_directory_with_a_main_module(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("print('main')")
    assert aelastic("run", tmp_path).stdout == "main\n"


def test_defaults_of_the_environment(script: Path) -> None:
    script.write_text("import os; print(os.environ['ROLE_NAME'], os.environ['WORLD_SIZE'])")
    env = {"PET_NPROC_PER_NODE": "2", "PET_ROLE": "job", "PET_TEE": "3", "PET_NNODES": "1", "PET_NODE_RANK": "0"}
    done = aelastic("run", script, env=env)
    assert sorted(done.stdout.splitlines()) == ["[job0]:job 2", "[job1]:job 2"]


def test_as_many_ranks_as_there_are_cpus(script: Path) -> None:
    script.write_text("import os; print(os.environ['WORLD_SIZE'])")
    done = aelastic("run", "--nproc-per-node", "auto", "--tee", "1", script, env={"CUDA_VISIBLE_DEVICES": ""})
    cpus = len(os.sched_getaffinity(0))
    assert sorted(done.stdout.splitlines()) == sorted(f"[default{rank}]:{cpus}" for rank in range(cpus))


@pytest.mark.parametrize(
    ("nproc", "value", "shown", "notice"), [(2, "", "1", True), (2, "4", "4", False), (1, "", "none", False)]
)
def test_the_rule_of_omp_num_threads(
    script: Path, monkeypatch: pytest.MonkeyPatch, nproc: int, value: str, shown: str, notice: bool
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    script.write_text("import os; print(os.environ.get('OMP_NUM_THREADS', 'none'))")
    env = {"OMP_NUM_THREADS": value} if value else {}
    done = aelastic("run", "--nproc-per-node", str(nproc), "--tee", "1", script, env=env)
    assert sorted(done.stdout.splitlines()) == [f"[default{rank}]:{shown}" for rank in range(nproc)]
    assert ("OMP_NUM_THREADS" in done.stderr) == notice


def test_only_some_ranks_are_shown(script: Path, tmp_path: Path) -> None:
    script.write_text("import os; os.write(1, f'rank {os.environ[\"RANK\"]}\\n'.encode())")
    some = ("--local-ranks-filter", "0,2", "--nproc-per-node", "3")
    assert sorted(aelastic("run", *some, script).stdout.splitlines()) == ["rank 0", "rank 2"]
    done = aelastic("run", *some, "--tee=3", "--log-dir", tmp_path / "logs", script)
    assert sorted(done.stdout.splitlines()) == ["[default0]:rank 0", "[default2]:rank 2"]
    assert len(list((tmp_path / "logs").rglob("stdout.log"))) == 3


def test_filtered_logs(script: Path, tmp_path: Path) -> None:
    script.write_text("print('apple pie'); print('a,b'); print('nothing')")
    aelastic("run", "--tee=3", "--log-dir", tmp_path / "logs", "--duplicate-stdout-filters", "apple,a,,b", script)
    (filtered,) = (tmp_path / "logs").rglob("filtered_stdout.log")
    assert filtered.read_text() == "[default0]:apple pie\n[default0]:a,b\n"


def test_a_relative_log_directory(script: Path, tmp_path: Path) -> None:
    script.write_text("import os; os.chdir('/'); print(os.environ['TORCHELASTIC_ERROR_FILE'])")
    done = aelastic("run", "--log-dir", "logs", "--rdzv-id", "run7", script, cwd=tmp_path)
    assert done.stdout.startswith(str(tmp_path / "logs" / "run7_"))


def test_a_packages_logs_specs(script: Path, tmp_path: Path) -> None:
    script.write_text("print('said')")
    (tmp_path / "special_specs.py").write_text(
        "from aelastic import DefaultLogsSpecs\n"
        "class Specs(DefaultLogsSpecs):\n"
        "    def reify(self, envs):\n"
        "        dest = super().reify(envs)\n"
        f"        dest.stdouts[0] = {str(tmp_path / 'special.log')!r}\n"
        "        return dest\n"
    )
    info = tmp_path / "special-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: special\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[torchrun.logs_specs]\nspecial = special_specs:Specs\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = aelastic("run", "--logs-specs", "special", script, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "special.log").read_text() == "said\n"


@pytest.mark.parametrize(
    ("args", "env", "says"),
    [
        (("--nnodes=2", "x.py"), {}, "aelastic run starts the ranks of one machine; for several use torchrun"),
        (("x.py",), {"PET_RDZV_BACKEND": "etcd"}, "PET_RDZV_BACKEND: 'etcd' is a meeting point for several machines"),
        (("--nproc-per-node=gpu", __file__), {"CUDA_VISIBLE_DEVICES": ""}, "there is no NVIDIA GPU here"),
        (("--virtual-local-rank", __file__), {"CUDA_VISIBLE_DEVICES": ""}, "there is no GPU for rank 0"),
        (("--logs-specs=lost", __file__), {}, "no package offers 'lost'"),
        (("--run-path", "-m", "x"), {}, "-m names a module"),
        (("--run-path", "lost.py"), {}, "there is no script 'lost.py'"),
        (("--signals-to-handle=SIGSTOP", "x.py"), {}, "SIGSTOP cannot be received"),
        (("x.py",), {"LOGLEVEL": "loud"}, "LOGLEVEL: there is no level 'LOUD'"),
    ],
)
def test_a_mistake_is_explained(args: tuple[str, ...], env: dict[str, str], says: str) -> None:
    refused = aelastic("run", *args, env=env)
    assert refused.returncode in (1, 2)
    assert says in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_the_end_of_standard_error_is_no_failure(script: Path) -> None:
    """``2>&1 | head``: nobody reads the summary."""
    script.write_text("pass")
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "aelastic", "run", str(script)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 2)])
    os.close(write_end)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
