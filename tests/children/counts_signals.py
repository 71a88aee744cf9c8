"""Says the name of every SIGUSR1 and SIGUSR2 it gets, and goes on."""

import signal
import time
from types import FrameType


def say(number: int, frame: FrameType | None) -> None:
    """Say what came."""
    print("got", signal.Signals(number).name, flush=True)


signal.signal(signal.SIGUSR1, say)
signal.signal(signal.SIGUSR2, say)
print("ready", flush=True)
while True:
    time.sleep(0.05)  # not for long: a signal just before a sleep is looked at after it
