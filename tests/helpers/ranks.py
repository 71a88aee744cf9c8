"""Short ways to start ranks in a test."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aelastic

if TYPE_CHECKING:
    from aelastic.conduct.context import Starting

CHILDREN = Path(__file__).parent.parent / "children"


def shell(*scripts: str, name: str = "w", **options: Any) -> Starting[aelastic.SubprocessContext]:
    """One rank per script, run by ``sh``; ``options`` are those of ``start_processes``."""
    options.setdefault("envs", {rank: {} for rank in range(len(scripts))})
    return aelastic.start_processes(
        name, "/bin/sh", args={rank: ("-c", script) for rank, script in enumerate(scripts)}, **options
    )


def python(*scripts: str, name: str = "w", **options: Any) -> Starting[aelastic.SubprocessContext]:
    """One rank per script, run by this Python."""
    options.setdefault("envs", {rank: {} for rank in range(len(scripts))})
    return aelastic.start_processes(
        name, sys.executable, args={rank: ("-c", script) for rank, script in enumerate(scripts)}, **options
    )


def child(vice: str, *args: str) -> str:
    """The shell command that becomes the script ``tests/children/<vice>.py``."""
    return "exec " + shlex.join([sys.executable, str(CHILDREN / f"{vice}.py"), *args])


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    return state_of(pid) not in ("", "Z")


def state_of(pid: int) -> str:
    """The process's state by the letter that ``ps`` shows, empty when it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second while it is read
        return ""


def wait_until_gone(pid: int, patience: float = 5.0) -> bool:
    """Whether the process is gone within ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


async def line_of(ctx: aelastic.PContext, text: str, rank: int | None = None) -> aelastic.LogLine:
    """Wait for a captured line that contains ``text``."""
    subscription = ctx.logs(rank)
    try:
        async for line in subscription:
            if text in line.text:
                return line
    finally:
        subscription.close()
    raise AssertionError(f"the run ended without a line containing {text!r}")


def redirected(tmp_path: os.PathLike[str], **options: Any) -> aelastic.DefaultLogsSpecs:
    """Both streams of every rank into files below ``tmp_path``."""
    return aelastic.DefaultLogsSpecs(os.fspath(tmp_path), redirects=aelastic.Std.ALL, **options)
