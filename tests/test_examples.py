"""The examples on real input."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, ranks: int) -> list[str]:
    command = [sys.executable, "-m", "aelastic", "run", "--nproc-per-node", str(ranks), "--tee", "3"]
    done = subprocess.run([*command, EXAMPLES / name], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_word_count_of_four_ranks_is_that_of_one() -> None:
    (by_four,) = (line for line in run_example("wordcount.py", 4) if "total" in line)
    (by_one,) = (line for line in run_example("wordcount.py", 1) if "total" in line)
    assert by_four.partition(", by")[0] == by_one.partition(", by")[0]


@pytest.mark.timeout(300)
def test_torch_ddp_trains_and_ends_with_the_same_weights() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    lines = run_example("ddp_digits.py", 2)
    losses = [float(line.split()[-1]) for line in lines if "epoch" in line]
    assert losses[-1] < losses[0] / 2
    assert sum("weights are the same on all ranks" in line for line in lines) == 2


def test_redis_as_a_service_of_tests(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here (Debian: apt-get install redis-server)")
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", f"--basetemp={tmp_path / 'base'}"]
    command = [sys.executable, "-m", "pytest", *options, str(EXAMPLES / "pytest")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
