"""Says as JSON what it was started with: ids, descriptors, standard input, signals, environment."""

import json
import os
import signal


def descriptors() -> dict[str, str]:
    """Number to target of what is open, without the descriptor of this very listing."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
    return found


def ignored() -> list[int]:
    """The signals that the program was started with as ignored. Python itself ignores SIGPIPE and SIGXFSZ."""
    own = {signal.SIGPIPE, signal.SIGXFSZ}
    return [number for number in signal.valid_signals() - own if signal.getsignal(number) is signal.SIG_IGN]


print(
    json.dumps(
        {
            "pid": os.getpid(),
            "session": os.getsid(0),
            "group": os.getpgid(0),
            "descriptors": descriptors(),
            "input": os.read(0, 1).decode(),
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "ignored": sorted(ignored()),
            "env": dict(os.environ),
        }
    ),
    flush=True,
)
