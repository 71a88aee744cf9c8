"""The examples that are on no page of the documentation, on real input."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

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


def test_web_workers_are_replaced_and_stopped() -> None:
    command = [sys.executable, str(EXAMPLES / "web_workers.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service:
        assert service.stdout is not None
        words = service.stdout.readline().split()
        assert words[:3] == ["4", "workers", "on"]
        before = {httpx.get(words[3]).text for _ in range(20)}
        service.send_signal(signal.SIGHUP)
        assert service.stdout.readline() == "all workers are replaced\n"
        after = {httpx.get(words[3]).text for _ in range(20)}
        service.send_signal(signal.SIGTERM)
    assert service.returncode == 0
    assert all(re.fullmatch(r"worker [0-3] \(pid \d+\)\n", answer) for answer in before | after)
    assert not before & after
