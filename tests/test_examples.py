"""The examples on real input."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
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


def test_the_dashboard_is_served() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(port), "dashboard:app"]
    with subprocess.Popen([*command, "--log-level", "warning"]) as server:
        deadline = time.monotonic() + 30
        try:
            while not is_ready(f"http://127.0.0.1:{port}/ranks/readyz"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            server.terminate()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.timeout(300)
def test_torch_ddp_trains_and_ends_with_the_same_weights() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    lines = run_example("ddp_digits.py", 2)
    losses = [float(line.split()[-1]) for line in lines if "epoch" in line]
    assert losses[-1] < losses[0] / 2
    assert sum("weights are the same on all ranks" in line for line in lines) == 2


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


def test_redis_as_a_service_of_tests(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here (Debian: apt-get install redis-server)")
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", f"--basetemp={tmp_path / 'base'}"]
    command = [sys.executable, "-m", "pytest", *options, str(EXAMPLES / "pytest")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
