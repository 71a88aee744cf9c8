"""Limits of this process, and whether it makes processes."""

from __future__ import annotations

import _posixsubprocess
import contextlib
import fcntl
import itertools
import os
import resource
import subprocess
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def soft_limit(which: int, value: int) -> Iterator[tuple[int, int]]:
    """The soft limit ``which`` is ``value`` for a while: this, and the hard one."""
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value, hard))
    try:
        yield value, hard
    finally:
        resource.setrlimit(which, (soft, hard))


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """This process may open ``count`` more descriptors for a while, whatever holes there are among its numbers."""
    free = (number for number in itertools.count() if not _is_open(number))
    with soft_limit(resource.RLIMIT_NOFILE, next(itertools.islice(free, count, None))):
        yield


@contextlib.contextmanager
def births() -> Iterator[list[str]]:
    """How this process makes others meanwhile, each time by name."""
    noted: list[str] = []

    def noting(module: Any, name: str) -> Any:
        original = getattr(module, name)

        def noted_first(*args: Any) -> Any:
            noted.append(name)
            return original(*args)

        return mock.patch.object(module, name, noted_first)

    with (
        noting(subprocess, "_fork_exec"),
        noting(_posixsubprocess, "fork_exec"),
        noting(os, "fork"),
        noting(forkserver, "connect_to_new_process"),
    ):
        yield noted


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True
