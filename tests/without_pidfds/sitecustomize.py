"""Loaded by every Python that has this directory on its path: ``AELASTIC_TEST_PIDFD`` takes pidfds away from it.

``off``: there are none, as on macOS and on kernels before 5.3. An error's name (``EPERM``): so a sandbox answers.
``mute``: they are there, and cannot be used to send signals. What needs the real ones asks ``posix``.
"""

import errno
import os
import signal
from typing import Any

_SWITCH = os.environ.get("AELASTIC_TEST_PIDFD", "on")
_ERRORS = {"off": "ENOSYS", "mute": "ENOSYS"}

PIDFDS = _SWITCH in ("on", "mute")


def _refuse(*_: Any) -> Any:
    number = getattr(errno, _ERRORS.get(_SWITCH, _SWITCH))
    raise OSError(number, os.strerror(number))


if not PIDFDS:
    setattr(os, "pidfd_open", _refuse)  # noqa: B010 - as an assignment it has the wrong type
if _SWITCH != "on":
    setattr(signal, "pidfd_send_signal", _refuse)  # noqa: B010
