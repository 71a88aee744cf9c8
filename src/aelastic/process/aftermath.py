"""What is left to do when the supervising process is gone. Run by the guardian; standard library only.

Each entry is a letter and what it stands for: ``g`` a process group, ``m`` a mark (``<run>`` or ``<run>.<rank>``),
``c`` the directory of a control group.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from aelastic.process.cgroup import ControlGroup
from aelastic.process.marker import Quarry, hunt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PATIENCE = 2.0  # seconds for what was killed to vanish
_LAUNCH = 0.2  # seconds from a fork to its program, generously


def clean_up(entries: Iterable[str], clock: Callable[[], float]) -> None:
    """Kill what has left its process group: the guardian has killed the groups themselves.

    Twice through the marks: a rank that was being launched when the supervisor died may take its mark only now.
    """
    named = [(entry[:1], entry[1:]) for entry in entries]
    for directory in [what for kind, what in named if kind == "c"]:
        ControlGroup(directory, os.path.dirname(directory)).end(_PATIENCE, clock)
    for pause in (0.0, _LAUNCH):
        time.sleep(pause)
        for mark in [what for kind, what in named if kind == "m"]:
            run, _, rank = mark.partition(".")
            hunt(Quarry(run, int(rank) if rank else None), _PATIENCE, clock)
