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
    from collections.abc import Iterable

_PATIENCE = 2.0  # seconds for what was killed to vanish


def clean_up(entries: Iterable[str]) -> None:
    """Kill what has left its process group: the guardian has killed the groups themselves.

    Twice through the marks: a rank that was being launched when the supervisor died may take its mark only now.
    """
    entries = list(entries)
    for kind, what in [(entry[0], entry[1:]) for entry in entries if entry]:
        if kind == "c":
            ControlGroup(what, os.path.dirname(what)).end(_PATIENCE, time.monotonic)
    for pause in (0.0, 0.2):
        time.sleep(pause)
        for mark in [entry[1:] for entry in entries if entry.startswith("m")]:
            run, _, rank = mark.partition(".")
            hunt(Quarry(run, int(rank) if rank else None), _PATIENCE, time.monotonic)
