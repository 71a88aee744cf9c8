"""Loaded by every Python that has this directory on its path: ``AELASTIC_TEST_PIDFD=off`` takes pidfds away from it.

So it is on macOS, on kernels before 5.3, and in sandboxes. What needs the real ones asks ``posix`` and ``_signal``.
"""

import errno
import os
import signal
from typing import Any

PIDFDS = os.environ.get("AELASTIC_TEST_PIDFD") != "off"


def _refuse(*_: Any) -> Any:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


if not PIDFDS:
    setattr(os, "pidfd_open", _refuse)  # noqa: B010 - as an assignment it has the wrong type
    setattr(signal, "pidfd_send_signal", _refuse)  # noqa: B010
