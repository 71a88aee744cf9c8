"""Finding the program that a rank is to run, as ``execvp`` would."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOTHING = frozenset({errno.ENOENT})
_NOTHING_TO_RUN = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


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
    ``FileNotFoundError`` and ``PermissionError`` are what ``execvp`` reports in these cases; a path that leads to a
    directory is an ``IsADirectoryError``, which says more than its ``PermissionError``.
    """
    if "/" in program:
        candidates, passed_over, place = [program], _NOTHING, "there is no such file"
    else:
        candidates = [os.path.join(directory, program) for directory in search_path.split(os.pathsep) if program]
        passed_over, place = _NOTHING_TO_RUN, f"it is in no directory of PATH={search_path}"
    problems: list[OSError] = []
    for path in candidates:
        problem = _problem(rank, path)
        if problem is None:
            return
        if problem.errno not in passed_over:
            problems.append(problem)
    if problems:
        raise problems[0]
    raise FileNotFoundError(errno.ENOENT, f"rank {rank}: the program was not found; {place}", program)


def _problem(rank: int, path: str) -> OSError | None:
    """Why ``path`` cannot be run; None when it can."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return OSError(error.errno, f"rank {rank}: the program cannot be reached: {error.strerror}", path)
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, f"rank {rank}: the program is a directory", path)
    if stat.S_ISREG(mode) and os.access(path, os.X_OK):
        return None
    return PermissionError(errno.EACCES, f"rank {rank}: the program has no run permission (chmod +x)", path)
