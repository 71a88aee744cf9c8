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
    The error says which directory it was, by its number: nobody's environment is shown.
    ``FileNotFoundError`` and ``PermissionError`` are what ``execvp`` reports in these cases; a path that leads to a
    directory is an ``IsADirectoryError``, which says more than its ``PermissionError``.
    """
    if "/" in program:
        candidates, passed_over, nowhere = {"": program}, _NOTHING, "there is no such file"
    else:
        directories = search_path.split(os.pathsep) if program else []
        candidates = {
            f", in directory {number} of PATH": os.path.join(directory, program)
            for number, directory in enumerate(directories, 1)
        }
        passed_over, nowhere = _NOTHING_TO_RUN, f"it is in no directory of PATH ({len(directories)} looked into)"
    problems: list[OSError] = []
    for where, path in candidates.items():
        found = _problem(path)
        if found is None:
            return
        code, problem = found
        if code not in passed_over:
            problems.append(OSError(code, f"rank {rank}: the program {problem}{where}", program))
    if problems:
        raise problems[0]
    raise FileNotFoundError(errno.ENOENT, f"rank {rank}: the program was not found; {nowhere}", program)


def _problem(path: str) -> tuple[int | None, str] | None:
    """Why ``path`` cannot be run, as an error number and in words; None when it can."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno, f"cannot be reached: {error.strerror}"
    if stat.S_ISDIR(mode):
        return errno.EISDIR, "is a directory"
    if stat.S_ISREG(mode) and os.access(path, os.X_OK):
        return None
    return errno.EACCES, "has no run permission (chmod +x)"
