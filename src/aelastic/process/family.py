"""The process group of a rank, and single processes that left one: the only place that signals processes."""

from __future__ import annotations

import errno
import logging
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("aelastic")

_TO_THE_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9


class Family:
    """A rank's leader and what it started, as one POSIX process group; ``pgid`` is the leader's pid.

    In a fork of the application this is a copy without power: the family belongs to the process that started it.
    ``pidfd`` is the leader's, where there is one: it means this family even when the kernel has given the leader's id
    away. ``reaped_elsewhere``: by the time we hear of its end, somebody else may have reaped the leader.
    """

    __slots__ = ("_ended", "_leader_is_gone", "_owner", "_reaped_elsewhere", "pgid", "pidfd")

    def __init__(self, pgid: int, pidfd: int | None = None, *, reaped_elsewhere: bool = False) -> None:
        self.pgid = pgid
        self.pidfd = pidfd
        self._owner = os.getpid()
        self._reaped_elsewhere = reaped_elsewhere
        self._leader_is_gone = False
        self._ended = False

    def signal(self, sig: int) -> None:
        """Send ``sig`` to every member. Nobody left is no error; a refusal by the kernel is logged."""
        if self._ended or os.getpid() != self._owner:
            return
        try:
            self._signal_group(sig)
        except ProcessLookupError:
            self._signal_leader(sig)
        except PermissionError:
            logger.warning("not permitted to send signal %d to process group %d", sig, self.pgid)

    def ask_to_end(self, sig: int) -> None:
        """Send ``sig``, and let stopped members go on, since they act on nothing but SIGKILL (as systemd does)."""
        self.signal(sig)
        if sig != signal.SIGKILL:
            self.signal(signal.SIGCONT)

    def sweep(self) -> None:
        """The leader is gone: kill at once what is left of its group.

        As long as a member lives the kernel does not give the group's id away; without members it may.
        """
        self._leader_is_gone = True
        if not self._is_given_away():
            self.signal(signal.SIGKILL)

    def close(self) -> None:
        """The family is gone; nothing is sent from now on."""
        self._ended = True
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def _signal_group(self, sig: int) -> None:
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, sig, None, _TO_THE_GROUP)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
            else:
                return
        os.killpg(self.pgid, sig)

    def signal_member(self, pid: int, sig: int) -> bool:
        """Send ``sig`` to the process ``pid`` alone, if it is of this session; whether it was sent."""
        if self._ended or os.getpid() != self._owner:
            return False
        try:
            return _signal_if(pid, sig, self._is_member)
        except OSError:  # there is no such signal
            return False

    def _is_member(self, pid: int) -> bool:
        try:
            return os.getsid(pid) == self.pgid
        except OSError:  # it has ended
            return False

    def _signal_leader(self, sig: int) -> None:
        """A fork leads its own group only a moment after it was made."""
        if self.pidfd is not None:
            _signal_process(self.pidfd, sig)
        elif not (self._leader_is_gone or self._reaped_elsewhere):  # there is only its id, its own until it is reaped
            _kill(self.pgid, sig)

    def _is_given_away(self) -> bool:
        """Whether the leader's id is another process's by now: then there is no group of ours left, either."""
        if self.pidfd is not None:
            return not _signal_process(self.pidfd, 0) and _exists(self.pgid)
        return self._reaped_elsewhere and _exists(self.pgid)


def kill_process(pid: int, is_meant: Callable[[int], bool]) -> bool:
    """Kill ``pid`` if ``is_meant(pid)`` still says so when it can be nobody else; whether it was sent the signal."""
    return _signal_if(pid, signal.SIGKILL, is_meant)


def _signal_if(pid: int, sig: int, is_meant: Callable[[int], bool]) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # no pidfds here: what is left is to look as late as possible
        return is_meant(pid) and _kill(pid, sig)
    try:
        if not can_signal_by(pidfd):
            return is_meant(pid) and _kill(pid, sig)
        return is_meant(pid) and _signal_process(pidfd, sig)
    finally:
        os.close(pidfd)


def can_signal_by(pidfd: int) -> bool:
    """Whether signals can be sent through ``pidfd``: there are sandboxes that let it be opened, and no more."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return True


def _kill(pid: int, sig: int) -> bool:
    try:
        os.kill(pid, sig)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_process(pidfd: int, sig: int) -> bool:
    """Whether the process was there, and is ours to signal."""
    try:
        signal.pidfd_send_signal(pidfd, sig)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
