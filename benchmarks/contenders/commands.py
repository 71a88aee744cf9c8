"""Launchers, as commands. From the shell's view."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.contenders.job import CannotError

if TYPE_CHECKING:
    from pathlib import Path


def command(name: str, nproc: int, script: Path) -> list[str]:
    """How the launcher ``name`` is told to run ``script`` on ``nproc`` ranks."""
    count = ["--nproc-per-node", str(nproc)]
    if name == "aelastic run":
        return [sys.executable, "-m", "aelastic", "run", *count, str(script)]
    if name == "torchrun":
        _needs("torch")
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", *count, str(script)]
    _needs("honcho")
    procfile = script.with_suffix(".Procfile")
    procfile.write_text("".join(f"rank{rank}: {sys.executable} {script}\n" for rank in range(nproc)))
    return [sys.executable, "-m", "honcho", "start", "-f", str(procfile)]


def _needs(package: str) -> None:
    if find_spec(package) is None:
        raise CannotError(f"{package} is not installed")
