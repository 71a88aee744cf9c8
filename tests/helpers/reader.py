"""Somebody who does what a page of the documentation says, in a directory of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.helpers.apps import python_path
from tests.helpers.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.pages import Block, Example

_PATIENCE = 60.0

# What the reader has already: a script that fails once where it may.
_TRAIN = """
import os
import sys

rank, attempt = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
print("rank", rank, "of", os.environ["WORLD_SIZE"], "in attempt", attempt)
sys.exit("no luck" if rank == "1" and attempt == "0" != os.environ["TORCHELASTIC_MAX_RESTARTS"] else 0)
"""
_GIVEN = {"train.py": _TRAIN, "package/module.py": _TRAIN, "worker": "#!/bin/sh\necho $*\n"}

# What takes long is done less often.
_SMALLER = {
    "tests/chaos --chaos-gangs 1000": f"{ROOT}/tests/chaos/test_chaos.py --chaos-gangs 1",
    "--seconds 1800": "--seconds 1",
    "--murders 100": "--murders 1",
}

_NEEDED = {"curl": "curl", "examples/pytest": "redis-server", "test_cache": "redis-server"}


def follow(example: Example, directory: Path, port: int) -> None:
    """Do what ``example`` says, with ``port`` in place of 8000. Skips what needs something that is not here."""
    if example.needs_torch and not (find_spec("torch") and find_spec("sklearn")):
        pytest.skip("there is no torch here, or no scikit-learn")
    for word, program in _NEEDED.items():
        if word in " ".join(example.commands) and shutil.which(program) is None:
            pytest.skip(f"there is no {program} here (Debian: apt-get install {program})")
    Reader(directory, port).follow(example)


class Reader:
    """Has a directory with the examples in it, and a port of their own in place of 8000."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        (directory / "examples").symlink_to(ROOT / "examples")
        (directory / "package").mkdir()
        for name, text in _GIVEN.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        (directory / ".curlrc").write_text("silent\nshow-error\nfail\n")  # as on a terminal: no progress
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        ours = {"PATH": path, "PYTHONPATH": python_path(), "UVICORN_PORT": str(port), "CURL_HOME": str(directory)}
        self._env = {**os.environ, **ours, "AELASTIC_TEST_LOOPS": "asyncio"}

    def follow(self, example: Example) -> None:
        """Save the files, run the program or type the commands, and compare what is shown."""
        for name, text in example.files.items():
            (self._directory / name).write_text(self._with_port(text))
        shown = ""
        with contextlib.ExitStack() as servers:
            for block in example.blocks:
                if block.language == "text":
                    assert_shown(self._with_port(block.text), shown)
                elif block.serves:
                    servers.enter_context(self._serving(self._with_port(*block.commands)))
                else:
                    shown = "\n".join(self._run(command, fails=example.fails) for command in self._commands(block))
            for address in map(self._with_port, example.addresses):
                assert httpx.get(address, follow_redirects=True).status_code == 200, address

    def _with_port(self, text: str) -> str:
        return re.sub(r"\b8000\b", str(self._port), text)

    def _commands(self, block: Block) -> list[list[str]]:
        if block.language == "python":
            (self._directory / "program.py").write_text(self._with_port(block.text))
            return [[sys.executable, "-X", "dev", "program.py"]]
        return [["bash", "-c", _smaller(self._with_port(command))] for command in block.commands]

    def _run(self, command: list[str], *, fails: bool) -> str:
        """What a terminal shows of it."""
        done = subprocess.run(
            command,
            cwd=self._directory,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def _serving(self, command: str) -> Iterator[None]:
        """While the server listens."""
        with subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self._directory, env=self._env) as server:
            try:
                deadline = time.monotonic() + _PATIENCE
                while not self._listens():
                    assert server.poll() is None, f"{command}: {server.returncode}"
                    assert time.monotonic() < deadline, f"{command} does not listen"
                    time.sleep(0.02)
                yield
                server.terminate()
                server.wait(_PATIENCE)
            finally:
                server.kill()

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0


def _smaller(command: str) -> str:
    for much, little in _SMALLER.items():
        command = command.replace(much, little)
    return command


def assert_shown(told: str, shown: str) -> None:
    """Each line that the page tells of was shown; an ellipsis stands for anything, and alone for any lines."""
    lines = shown.splitlines()
    for line in (one for one in told.splitlines() if one != "…"):
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        found = [one for one in lines if re.fullmatch(pattern, one)]
        assert found, f"{line!r} is not in what is left of {shown!r}"
        lines.remove(found[0])
