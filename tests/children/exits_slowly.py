"""Takes SECONDS to write its checkpoint FILE when it is told to end, and exits with 0: ``SECONDS FILE [SIGNAL]``."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType

seconds, file, number = float(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else signal.SIGTERM


def save(number: int, frame: FrameType | None) -> None:
    """Write the checkpoint and end."""
    time.sleep(seconds)
    file.write_text("complete")
    sys.exit(0)


signal.signal(number, save)
print("ready", flush=True)
while True:
    time.sleep(0.05)  # not once for long: a signal just before a sleep is looked at after it
