"""Waiting for processes without a loop: at the interpreter's end, or in a thread."""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from contextlib import ExitStack
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
    with ExitStack() as opened:
        descriptors = [open_pidfd(pid) for pid in pids.values()]
        known = [one for one in descriptors if one is not None]
        for descriptor in known:
            opened.callback(os.close, descriptor)
        if len(known) == len(pids):
            _wait_for_any(known, timeout)
            return _reap_all(pids)
    for _ in range(math.ceil(min(timeout, _LONGEST) / _STEP)):  # no pidfds here, or one of them is gone already
        if ends := _reap_all(pids):
            return ends
        time.sleep(_STEP)
    return _reap_all(pids)


def _wait_for_any(descriptors: list[int], timeout: float) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(min(timeout, _LONGEST) * 1000)


def _reap_all(pids: Mapping[int, int]) -> dict[int, int]:
    """Those that have ended, key to exit code."""
    ends = {key: _reap(pid) for key, pid in pids.items()}
    return {key: exitcode for key, exitcode in ends.items() if exitcode is not None}


def _reap(pid: int) -> int | None:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN_EXITCODE
    return os.waitstatus_to_exitcode(status) if ended else None


def wait_until_stopped(pid: int) -> None:
    """Wait until a signal has stopped the child ``pid``, or it has ended. Its end remains to be waited for.

    What is not a child of this process (a rank of a fork server) is not waited for.
    """
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
