"""One trial: a fresh interpreter, a hard time limit, and nothing of it stays."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.marked import end_marked

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Case, Question, Values

_MARK = "AELASTIC_BENCHMARK"
_ROOT = Path(__file__).parent.parent.parent
# Bytecode is cached as in any installation, and the ranks' output buffered as usual.
_NOT_HANDED_ON = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")


@dataclass(frozen=True, slots=True)
class Seen:
    """``values`` by metric; or ``reason``: why there are none.

    ``cannot``: it is not made for that, or not installed; ``late``: the time limit ended it; ``left``: processes that
    were there afterwards; ``seconds``: that the trial took in all.
    """

    values: Values = field(default_factory=dict)
    reason: str = ""
    cannot: bool = False
    late: bool = False
    left: int = 0
    seconds: float = 0.0


def perform(question: Question, case: Case, contender: Contender) -> Seen:
    """What one trial gives."""
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        command = [sys.executable, "-m", "benchmarks.harness.inside", question.name, case.name, contender.name, name]
        with open(directory / "stdout", "wb") as out, open(directory / "stderr", "wb") as err:
            # In a directory without other files: a temporary directory of any contender's goes with it.
            env = environment() | {_MARK: mark, "TMPDIR": name}
            began = time.monotonic()
            trial = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
            late = _wait(trial, question.limit)
            seconds = round(time.monotonic() - began, 2)
        left = end_marked(f"{_MARK}={mark}")
        return replace(_seen(directory, question.limit if late else None), left=left, seconds=seconds)


def environment() -> dict[str, str]:
    """This one, without what would slow Pythons down, and with ours importable."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
    path = [str(_ROOT / "src"), str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(os.pathsep.join(path).split(os.pathsep)))}


def _wait(trial: subprocess.Popen[bytes], limit: float) -> bool:
    try:
        trial.wait(limit)
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.wait()
        return True
    return False


def _seen(directory: Path, limit: float | None) -> Seen:
    try:
        result: dict[str, Any] = json.loads((directory / "result.json").read_text())
    except FileNotFoundError:
        last = (directory / "stderr").read_text(errors="replace").strip().splitlines()[-1:]
        ended = f"ended after {limit:.0f} s" if limit is not None else "no result"
        return Seen(reason=": ".join([ended, *last]), late=limit is not None)
    if "values" in result:
        return Seen(values=result["values"])
    return Seen(reason=result.get("cannot") or result["failed"], cannot="cannot" in result)
