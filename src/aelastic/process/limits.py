"""What the kernel lets this process have: descriptors and processes."""

from __future__ import annotations

import errno
import fcntl
import os
import resource

_LISTINGS = ("/proc/self/fd", "/dev/fd")  # Linux; macOS, and a Linux whose /proc is elsewhere
_NO_LISTING = (FileNotFoundError, NotADirectoryError, PermissionError)


def check_descriptors(needed: int) -> None:
    """Raise ``OSError`` (``EMFILE``) unless this process may open ``needed`` more descriptors. Blocks for a moment."""
    left = descriptors_left(needed)
    if left >= needed:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + needed - left
    if wanted <= hard or hard == resource.RLIM_INFINITY:
        advice = f"raise it: ulimit -n {wanted}, or resource.setrlimit(resource.RLIMIT_NOFILE, ({wanted}, {hard}))"
    else:
        advice = f"its hard limit is {hard}, where {wanted} are needed: start fewer ranks, or capture fewer streams"
    raise OSError(
        errno.EMFILE,
        f"Too many open files: the ranks need {needed} file descriptors, and {left} are left of the {soft} that "
        f"RLIMIT_NOFILE allows; {advice}",
    )


def descriptors_left(enough: int) -> int:
    """How many more descriptors this process may open. Where that must be tried out, no more than ``enough``."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return enough
    for directory in _LISTINGS:
        try:
            listed = os.listdir(directory)
        except _NO_LISTING:
            continue
        except OSError:  # not even one for the listing
            return 0
        return soft - sum(int(number) < soft for number in listed) + 1  # the listing had one itself
    return _count_free(soft, enough)


def explain(error: OSError) -> str:
    """What the kernel said, and the limit behind it where it is known."""
    if error.errno == errno.EAGAIN:
        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        return (
            f"{error.strerror}: no more processes or threads are allowed, by RLIMIT_NPROC ({_in_words(soft)} for all "
            "of this user's; ulimit -u) or by the control group (pids.max)"
        )
    if error.errno == errno.EMFILE:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"{error.strerror}: RLIMIT_NOFILE allows {_in_words(soft)} (ulimit -n)"
    return str(error.strerror)


def name_limit(error: Exception) -> Exception:
    """A thread that was refused is for Python a ``RuntimeError`` without a reason; here an ``OSError`` that has one."""
    if not isinstance(error, RuntimeError) or "can't start new thread" not in str(error):
        return error
    refused = OSError(errno.EAGAIN, explain(OSError(errno.EAGAIN, str(error))))
    refused.__cause__ = error
    return refused


def _count_free(soft: int, enough: int) -> int:
    free = 0
    for number in range(soft):
        if free == enough:
            break
        free += not _is_open(number)
    return free


def _is_open(number: int) -> bool:
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _in_words(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
