"""Lets the id of a family's leader be given to somebody else before the sweep: ``MEANS``. Needs a pid namespace.

MEANS: ``group`` signals groups through pidfds, ``pidfd`` processes only (Linux before 6.9), ``none`` has no pidfds.
"""

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from aelastic.process.family import Family
from aelastic.process.watch import open_pidfd

send = signal.pidfd_send_signal


def send_to_processes(pidfd: int, sig: int, siginfo: None = None, flags: int = 0, /) -> None:
    """As the kernels before 6.9."""
    if flags:
        raise OSError(errno.EINVAL, "flags")
    send(pidfd, sig)


@contextlib.contextmanager
def sleeping(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A leader of a session of its own."""
    process = subprocess.Popen(command or ("sleep", "600"), start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def family(means: str, pid: int) -> Family:
    """The family of a leader that somebody else reaps."""
    return Family(pid, None if means == "none" else open_pidfd(pid), reaped_elsewhere=True)


def main(means: str) -> None:
    """Say who lives."""
    if means == "pidfd":
        signal.pidfd_send_signal = send_to_processes
    with sleeping() as leader:
        first = family(means, leader.pid)
        leader.kill()
        leader.wait()
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(leader.pid - 1))
        with sleeping() as stranger:
            assert stranger.pid == leader.pid, (stranger.pid, leader.pid)
            first.sweep()
            print("stranger", stranger.poll())
    with sleeping("sh", "-c", "sleep 600 & exec sleep 600") as leader:
        second = family(means, leader.pid)
        members = Path(f"/proc/{leader.pid}/task/{leader.pid}/children")
        while not (member := members.read_text().split()):
            os.sched_yield()
        pidfd = os.pidfd_open(int(member[0]))
        leader.kill()
        leader.wait()
        second.sweep()
        print("member", bool(select.select([pidfd], [], [], 5)[0]))


main(sys.argv[1])
