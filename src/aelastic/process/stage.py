"""Programs that need something done in their own process first: by a few lines of Python that become the program.

A rank can be bound to cpus from outside only when it runs already, ``LISTEN_PID`` is not known before its process is,
and ``subprocess`` hands descriptors over under their own numbers alone. A shell would do the last two faster, but dash
knows no descriptors above 9.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST_SOCKET = 3  # systemd's SD_LISTEN_FDS_START

# Python itself ignores two signals and may set LC_CTYPE, which the program would inherit.
_STAGE = """\
import os, sys
from _signal import SIG_DFL, SIGPIPE, SIGXFSZ, signal
cpus, sockets, first, lc_ctype = {!r}, {!r}, {!r}, {!r}
try:
    if cpus:
        os.sched_setaffinity(0, cpus)
except OSError as error:
    print("aelastic: the rank could not be bound to its cpus:", error, file=sys.stderr)
if sockets:
    copies = []
    for one in sockets:
        copies.append(os.dup(one))
        while copies[-1] < first + len(sockets):
            copies[-1] = os.dup(one)
    for one in sockets:
        os.close(one)
    for place, copy in enumerate(copies, first):
        os.dup2(copy, place)
    os.environ["LISTEN_PID"] = str(os.getpid())
if lc_ctype is None:
    os.environ.pop("LC_CTYPE", None)
else:
    os.environ["LC_CTYPE"] = lc_ctype
signal(SIGPIPE, SIG_DFL)
signal(SIGXFSZ, SIG_DFL)
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print("aelastic: the program could not be started:", error, file=sys.stderr)
    os._exit({})
"""
_NOT_FOUND = 127  # a shell's


def staged_command(
    argv: Sequence[str], env: Mapping[str, str], cpus: frozenset[int] | None, sockets: Sequence[int]
) -> tuple[str, ...]:
    """The command that runs ``argv`` on ``cpus`` only (None: anywhere), with ``sockets`` as its descriptors 3, 4, ….

    The process must inherit ``sockets``, each under its number here, and have ``env`` as its environment.
    """
    where = None if cpus is None else set(cpus)
    stage = _STAGE.format(where, tuple(sockets), FIRST_SOCKET, env.get("LC_CTYPE"), _NOT_FOUND)
    return sys.executable, "-I", "-S", "-c", stage, *argv
