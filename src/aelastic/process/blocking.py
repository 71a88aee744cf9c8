"""Waiting for processes where no loop runs any more: at the interpreter's end."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from aelastic.process.watch import UNKNOWN_EXITCODE, open_pidfd

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEP = 0.01
_LONGEST = 3600.0  # seconds; the kernel counts milliseconds in 32 bits


def wait_for_ends(pids: Mapping[int, int], timeout: float) -> dict[int, int]:
    """Wait until any process of ``pids`` (key to pid) has ended, at most ``timeout`` seconds; key to exit code.

    May return earlier, with nothing. A process that somebody else has reaped counts as ended. Blocks the thread.
    """
    descriptors = {key: open_pidfd(pid) for key, pid in pids.items()}
    try:
        alive = _wait_for_any([one for one in descriptors.values() if one is not None], len(pids), timeout)
    finally:
        for descriptor in descriptors.values():
            if descriptor is not None:
                os.close(descriptor)
    ends = {key: _reap(pid) for key, pid in pids.items() if descriptors[key] not in alive}
    return {key: exitcode for key, exitcode in ends.items() if exitcode is not None}


def _wait_for_any(descriptors: list[int], expected: int, timeout: float) -> set[int]:
    """Wait until any of the processes has ended; the descriptors of those that have not."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    if len(descriptors) == expected:
        ready = poll.poll(min(timeout, _LONGEST) * 1000)
    else:  # no pidfds here, or one of them is gone already
        time.sleep(min(timeout, _STEP))
        ready = poll.poll(0)
    return set(descriptors) - {descriptor for descriptor, _ in ready}


def _reap(pid: int) -> int | None:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN_EXITCODE
    return os.waitstatus_to_exitcode(status) if ended else None
