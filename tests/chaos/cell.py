"""A control group of our own, so that those of the runs can be told from everybody else's."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from aelastic.process.cgroup import ControlGroup, own_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def own_cell() -> Iterator[None]:
    """While this is entered, this process lives in a new control group, where that can be."""
    outside = own_directory()
    if outside is None:
        yield
        return
    cell = ControlGroup(os.path.join(outside, _name()), outside)
    cell.make()
    cell.adopt(os.getpid())
    try:
        yield
    finally:
        ControlGroup(outside, outside).adopt(os.getpid())
        cell.remove()


def control_groups() -> list[str]:
    """The runs' control groups inside of our own."""
    inside = own_directory()
    if inside is None or os.path.basename(inside) != _name():
        return []
    return [one.path for one in os.scandir(inside) if one.name.startswith("aelastic-")]


def can_have_control_groups() -> bool:
    """Whether a run can have them here."""
    return own_directory() is not None


def _name() -> str:
    return f"chaos-{os.getpid()}"
