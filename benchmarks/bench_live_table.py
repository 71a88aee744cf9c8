"""What does the live table cost when four ranks write as fast as they can?

``aelastic run --tee 3`` on a pseudo-terminal that somebody reads, with the table and with ``--plain``.
"""

from __future__ import annotations

import os
import pty
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import Contender
from benchmarks.contenders.commands import command
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness.question import Values

_WRITES = "import sys\nfor _ in range({} // 1000): sys.stdout.write('{}\\n' * 1000)\n"
_PLAIN = Contender("--plain", "commands")
_TABLE = Contender("live table", "commands")
_TORCHRUN = Contender("torchrun --tee", "commands")


def measure(contender: Contender, directory: Path, *, lines: int) -> Values:
    """Seconds until everything was read from the terminal."""
    script = directory / "writes.py"
    script.write_text(_WRITES.format(lines, "x" * 80))
    launcher = command("torchrun" if contender == _TORCHRUN else "aelastic run", 4, script)
    options = ["--tee", "3", *(["--plain"] if contender == _PLAIN else [])]
    return {"seconds": _until_read([*launcher[:-1], *options, launcher[-1]])}


def _until_read(argv: list[str]) -> float:
    master, slave = pty.openpty()
    begin = time.perf_counter()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(["setsid", "--ctty", *argv], stdin=slave, stdout=slave, stderr=slave, env=env) as launched:
        os.close(slave)
        while _read(master):
            pass
    os.close(master)
    seconds = time.perf_counter() - begin
    assert launched.returncode == 0
    return seconds


def _read(master: int) -> bytes:
    try:
        return os.read(master, 1 << 16)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""


QUESTION = Question(
    name="live_table",
    title="The live table, four ranks at full speed: until all was shown",
    metrics={"seconds": ("s", "from the start of the launcher until all was read from the terminal")},
    contenders=(_PLAIN, _TABLE, _TORCHRUN),
    cases=(Case("4 ranks, 200 000 lines each", {"lines": 200_000}),),
    measure=measure,
    turns=1,
    quick=(),
)
