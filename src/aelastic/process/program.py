"""Finding the program that a rank is to run, as ``execvp`` would."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_programs(program: str, envs: Mapping[int, Mapping[str, str]]) -> None:
    """``check_program`` for every rank, each with the ``PATH`` of its own environment."""
    checked = set()
    for rank, env in envs.items():
        search_path = env.get("PATH", os.defpath)
        if search_path not in checked:
            check_program(rank, program, search_path)
            checked.add(search_path)


def check_program(rank: int, program: str, search_path: str) -> None:
    """Raise the ``OSError`` that starting ``program`` would end with, naming the rank and what to do.

    A name without a slash is looked up in ``search_path`` (directories joined by ``:``), another one is taken as it is.
    ``FileNotFoundError``, ``IsADirectoryError`` and ``PermissionError`` are what ``execvp`` reports in these cases.
    """
    if "/" in program:
        candidates, place = [program], "there is no such file"
    else:
        candidates = [os.path.join(directory, program) for directory in search_path.split(os.pathsep) if program]
        place = f"it is in no directory of PATH={search_path}"
    existing = [path for path in candidates if os.path.exists(path)]
    files = [path for path in existing if not os.path.isdir(path)]
    if any(os.access(path, os.X_OK) for path in files):
        return
    if files:
        raise PermissionError(errno.EACCES, f"rank {rank}: the program has no run permission (chmod +x)", files[0])
    if existing and "/" in program:
        raise IsADirectoryError(errno.EISDIR, f"rank {rank}: the program is a directory", program)
    raise FileNotFoundError(errno.ENOENT, f"rank {rank}: the program was not found; {place}", program)
