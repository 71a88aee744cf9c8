"""Control groups (cgroup v2, Linux 5.14): what a rank starts stays in its group, whatever it does."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING

from aelastic.process.marker import is_detached, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SHORT_BREATH = 0.001
_BREATH = 0.05  # seconds; the kernel tells when a group gets empty, unless that was before we asked


def own_directory() -> str | None:
    """The directory of this process's own control group, where it can be written to."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [fields for fields in map(str.split, file) if fields[fields.index("-") + 1] == "cgroup2"]
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = [line.strip().removeprefix("0::") for line in file if line.startswith("0::")]
    except OSError:
        return None
    directories = [_directory(fields[3], fields[4], path) for fields in mounts for path in own]
    return next((directory for directory in directories if directory and _can_be_written(directory)), None)


class ControlGroup:
    """A directory of the cgroup file system, with the processes in it and below.

    ``around`` is the group that those belong to who are to outlive this one.
    """

    def __init__(self, directory: str, around: str) -> None:
        self.directory = directory
        self.around = around

    def make(self) -> None:
        """Raises ``OSError``, also where the kernel cannot kill groups."""
        os.mkdir(self.directory)
        if not os.path.exists(self._path("cgroup.kill")):
            self.remove()
            raise OSError(f"{self.around}: this kernel cannot kill control groups")

    def adopt(self, pid: int) -> None:
        """Make the process a member. Raises ``OSError``; that it is gone is no error."""
        with contextlib.suppress(ProcessLookupError):
            _write(self.members_file, pid)

    @property
    def members_file(self) -> str:
        """Whoever writes its pid into it becomes a member; 0 is oneself."""
        return self._path("cgroup.procs")

    def is_empty(self) -> bool:
        """Whether nothing runs here or below. A zombie does not count."""
        try:
            return b"populated 0" in read_all(self._path("cgroup.events"))
        except OSError:  # it was removed
            return True

    def end(self, patience: float, clock: Callable[[], float]) -> list[int]:
        """Kill all that is here and below, and remove the directories; the pids that were spared, being detached.

        Waits at most ``patience`` seconds for them to vanish. Blocks.
        """
        if self.is_empty():
            self.remove()
            return []
        detached = list(self._move_detached(patience, clock))
        with contextlib.suppress(OSError):
            _write(self._path("cgroup.kill"), 1)
        self._wait_until_empty(patience, clock)
        self.remove()
        return detached

    def remove(self) -> None:
        """Remove the directories that nothing runs in."""
        for directory, _, _ in os.walk(self.directory, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    def _move_detached(self, patience: float, clock: Callable[[], float]) -> Iterator[int]:
        deadline = clock() + patience
        while True:
            members = {pid: is_detached(pid) for pid in self._members()}
            for pid in [pid for pid, detached in members.items() if detached]:
                with contextlib.suppress(OSError):
                    _write(os.path.join(self.around, "cgroup.procs"), pid)
                    yield pid
            if None not in members.values() or clock() > deadline:
                break
            time.sleep(_SHORT_BREATH)

    def _members(self) -> list[int]:
        found: list[int] = []
        for directory, _, _ in os.walk(self.directory):
            with contextlib.suppress(OSError):
                found.extend(map(int, read_all(os.path.join(directory, "cgroup.procs")).split()))
        return found

    def _wait_until_empty(self, patience: float, clock: Callable[[], float]) -> None:
        deadline = clock() + patience
        with contextlib.suppress(OSError), open(self._path("cgroup.events"), "rb", buffering=0) as events:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            while not self.is_empty() and clock() < deadline:
                poll.poll(_BREATH * 1000)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def _directory(root: str, mount_point: str, path: str) -> str | None:
    """Where the group ``path`` is, if the mount shows it; no name with spaces, which the guardian could not read."""
    inside = os.path.relpath(path, root)
    directory = os.path.normpath(os.path.join(mount_point, inside))
    return None if inside.startswith("..") or any(map(str.isspace, directory)) else directory


def _can_be_written(directory: str) -> bool:
    return os.access(directory, os.W_OK) and os.access(os.path.join(directory, "cgroup.procs"), os.W_OK)


def _write(path: str, number: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"%d" % number)
    finally:
        os.close(descriptor)
