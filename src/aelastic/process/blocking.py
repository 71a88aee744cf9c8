"""Waiting for processes where no loop runs any more: at the interpreter's end."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from aelastic.process.watch import UNKNOWN_EXITCODE

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEP = 0.01


def wait_for_ends(pids: Mapping[int, int], timeout: float) -> dict[int, int]:
    """Wait until any process of ``pids`` (key to pid) has ended, at most ``timeout`` seconds; key to exit code.

    A process that somebody else has reaped counts as ended. Blocks the thread.
    """
    descriptors = [descriptor for pid in pids.values() if (descriptor := _pidfd(pid)) is not None]
    try:
        if len(descriptors) == len(pids):
            poll = select.poll()
            for descriptor in descriptors:
                poll.register(descriptor, select.POLLIN)
            poll.poll(timeout * 1000)
        else:
            time.sleep(min(timeout, _STEP))  # no pidfds here, or one of them is gone already
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    ends = {key: _reap(pid) for key, pid in pids.items()}
    return {key: exitcode for key, exitcode in ends.items() if exitcode is not None}


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _reap(pid: int) -> int | None:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN_EXITCODE
    return os.waitstatus_to_exitcode(status) if ended else None
