"""The process group of a rank: the only place that signals processes."""

from __future__ import annotations

import logging
import os
import signal

logger = logging.getLogger("aelastic")


class Family:
    """A rank's leader and what it started, as one POSIX process group; ``pgid`` is the leader's pid.

    In a fork of the application this is a copy without power: the family belongs to the process that started it.
    """

    __slots__ = ("_owner", "pgid")

    def __init__(self, pgid: int) -> None:
        self.pgid = pgid
        self._owner = os.getpid()

    def signal(self, sig: int) -> None:
        """Send ``sig`` to every member. Nobody left is no error; a refusal by the kernel is logged."""
        if os.getpid() != self._owner:
            return
        try:
            os.killpg(self.pgid, sig)
        except ProcessLookupError:
            pass
        except PermissionError:
            logger.warning("not permitted to send signal %d to process group %d", sig, self.pgid)

    def sweep(self) -> None:
        """The leader is gone: kill at once what is left of its group.

        As long as a member lives the kernel does not give the id away, and this is called with no await after the
        leader's end was noticed, so the group is ours.
        """
        self.signal(signal.SIGKILL)
