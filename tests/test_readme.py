"""The code in the README does what it says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def block(mark: str) -> str:
    (found,) = (text for text in BLOCKS if mark in text)
    return str(found)


def run_python(directory: Path, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "dev", *args], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_is_tested() -> None:
    assert len(BLOCKS) == 9


def test_the_async_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("step of rank"))
    shown = run_python(tmp_path, "example.py")
    assert "[trainer1]:step of rank 1" in shown
    assert "first failure: 2 exited with code 1" in shown
    assert "exit codes: {0: 0, 1: 0, 2: 1}" in shown


def test_the_function_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("total:"))
    assert run_python(tmp_path, "example.py") == f"total: {sum(range(1_000_000))}\n"


def test_the_restart_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("aelastic.RestartPolicy("))
    shown = run_python(tmp_path, "example.py")
    assert shown.count("attempt 2\n") == 2
    assert "restarts: 2 attempts: [" in shown
    assert "{0: 0, 1: 0}]" in shown


def test_the_replacement_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("sup.replace()"))
    assert run_python(tmp_path, "example.py") == "b'attempt 0'\nb'attempt 1'\n"


def test_the_record_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("from aelastic.errors import record"))
    run_python(tmp_path, "example.py")


def test_the_readiness_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("rank.progress("))
    shown = run_python(tmp_path, "example.py").splitlines()
    assert {"rank 0 is ready", "rank 1 is ready", "rank 0: 50 of 50", "rank 1: 50 of 50"} <= set(shown)
    assert shown[-1] == "run succeeded"


def test_the_test_harness_example(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(block("def url(services)"))
    assert "2 passed" in run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py")


def test_the_script_example(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(block("import aelastic.sync"))
    shown = run_python(tmp_path, "example.py").splitlines()
    assert {"hello from rank 0", "hello from rank 1", "exit codes: {0: 0, 1: 0}"} == set(shown)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "service.py").write_text(block("FastAPI"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "service:app"]
    with subprocess.Popen(command, cwd=tmp_path) as server:
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        assert server.wait(20) is not None


def test_the_web_service_example(service: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(f"{service}/workers").json() == {"0": "running", "1": "running"}
            assert httpx.get(f"{service}/ranks/readyz").json() == {"ready": True, "missing": []}
            assert "<title>" in httpx.get(f"{service}/ranks", follow_redirects=True).text
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.05)
        else:
            return
