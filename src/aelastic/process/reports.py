"""Reading the error file of a rank. It may be anything; nothing here blocks for long or raises."""

from __future__ import annotations

import os
import stat

from aelastic.errors.report import LARGEST_REPORT, Report, Unreadable, parse_report

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # neither a FIFO nor a terminal gets hold of us


def read_report(path: str) -> Report | Unreadable | None:
    """What the error file at ``path`` says; None when there is none. Reads at most ``LARGEST_REPORT`` bytes."""
    if path in ("", os.devnull):
        return None
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(f"it cannot be opened ({error.strerror})")
    except ValueError as error:
        return Unreadable(f"its path cannot be used ({error})")
    try:
        return _read(descriptor)
    except OSError as error:
        return Unreadable(f"it cannot be read ({error.strerror})")
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> Report | Unreadable:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return Unreadable("it is not a regular file")
    if status.st_size > LARGEST_REPORT:
        return Unreadable(f"it is too large ({status.st_size} bytes)")
    blocks = []
    while block := os.read(descriptor, LARGEST_REPORT):
        blocks.append(block)
        if sum(map(len, blocks)) > LARGEST_REPORT:
            return Unreadable("it is too large and still growing")
    return parse_report(b"".join(blocks))
