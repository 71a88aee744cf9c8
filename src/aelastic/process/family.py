"""The process group of a rank: the only place that signals processes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal

logger = logging.getLogger("aelastic")


class Family:
    """A rank's leader and what it started, as one POSIX process group; ``pgid`` is the leader's pid.

    In a fork of the application this is a copy without power: the family belongs to the process that started it.
    ``pidfd`` is the leader's, where there is one: a fork is its own leader only when it has got so far.
    """

    __slots__ = ("_owner", "pgid", "pidfd")

    def __init__(self, pgid: int, pidfd: int | None = None) -> None:
        self.pgid = pgid
        self._owner = os.getpid()
        self.pidfd = pidfd

    def signal(self, sig: int) -> None:
        """Send ``sig`` to every member. Nobody left is no error; a refusal by the kernel is logged."""
        if os.getpid() != self._owner:
            return
        try:
            os.killpg(self.pgid, sig)
        except ProcessLookupError:
            self._signal_leader(sig)
        except PermissionError:
            logger.warning("not permitted to send signal %d to process group %d", sig, self.pgid)

    def sweep(self) -> None:
        """The leader is gone: kill at once what is left of its group.

        As long as a member lives the kernel does not give the id away, and this is called with no await after the
        leader's end was noticed, so the group is ours.
        """
        self.signal(signal.SIGKILL)

    def signal_member(self, pid: int, sig: int) -> bool:
        """Send ``sig`` to the process ``pid`` alone, if it is of this session; whether it was sent."""
        if os.getpid() != self._owner:
            return False
        try:
            descriptor = os.pidfd_open(pid)  # whoever has this pid now cannot be mistaken for a later one
        except (AttributeError, OSError):
            return False
        try:
            if os.getsid(pid) != self.pgid:
                return False
            signal.pidfd_send_signal(descriptor, sig)
        except OSError:  # it has ended
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def _signal_leader(self, sig: int) -> None:
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, sig)
