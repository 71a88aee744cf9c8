"""A control group of our own, so that those of the runs can be told from everybody else's."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from aelastic.process.cgroup import ControlGroup, own_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOMENT = 2.0  # seconds


@contextlib.contextmanager
def own_cell() -> Iterator[None]:
    """While this is entered, this process lives in a new control group, where that can be."""
    outside = own_directory()
    if outside is None:
        yield
        return
    cell = ControlGroup(os.path.join(outside, _name(os.getpid())), outside)
    cell.make()
    cell.adopt(os.getpid())
    try:
        yield
    finally:
        ControlGroup(outside, outside).adopt(os.getpid())
        cell.remove()


def control_groups(pid: int | None = None) -> list[str]:
    """The runs' control groups in the cell of ``pid``, a process started by this one, or in our own."""
    directory = own_directory() if pid is None else _cell_of(pid)
    if directory is None or not os.path.basename(directory).startswith("chaos-"):
        return []
    with contextlib.suppress(FileNotFoundError):
        return [one.path for one in os.scandir(directory) if one.name.startswith("aelastic-")]
    return []


def remove_cell(pid: int) -> None:
    """``pid`` had no time to do it. Waits a moment for those who have just been killed."""
    if (directory := _cell_of(pid)) is not None:
        ControlGroup(directory, os.path.dirname(directory)).end(_MOMENT, time.monotonic)


def can_have_control_groups() -> bool:
    """Whether a run can have them here."""
    return own_directory() is not None


def _cell_of(pid: int) -> str | None:
    outside = own_directory()
    return None if outside is None else os.path.join(outside, _name(pid))


def _name(pid: int) -> str:
    return f"chaos-{pid}"
