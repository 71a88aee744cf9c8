"""A picture of ``aelastic run`` on a terminal, in the middle of a training whose ranks write and report progress.

    python docs/screenshots/terminal.py

Needs ``pip install 'aelastic[cli]' pyte``. The command runs on a real pseudo-terminal; pyte keeps its screen, rich
draws it.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte
from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parent / "terminal.svg"
COLUMNS, LINES = 100, 20
SECONDS = 9.0
SCRIPT = """
import os, random, time
from aelastic import rank

rank.ready()
dice = random.Random(rank.rank())
for step in range(1, 121):
    time.sleep(dice.uniform(0.05, 0.15))
    rank.progress(step, 120)
    if step % 8 == rank.rank():
        print(f"step {step:3}: loss {2.3 * 0.98 ** step + dice.uniform(0, 0.05):.4f}", flush=True)
    if step == 24 and rank.rank() == 2 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        raise SystemExit("the connection was lost")
"""
OPTIONS = ("--nproc-per-node", "4", "--max-restarts", "3", "--role", "trainer")


def screen_of(directory: str) -> pyte.Screen:
    """What the terminal shows after some seconds."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    script = Path(directory) / "train.py"
    script.write_text(SCRIPT)
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = ["setsid", "--ctty", sys.executable, "-m", "aelastic", "run", *OPTIONS, str(script)]
    environment = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                stream.feed(os.read(master, 65536))
        while b"status" not in (block := os.read(master, 65536)):  # a whole drawing, not half of one
            stream.feed(block)
        stream.feed(block)
        process.terminate()
        while select.select([master], [], [], 10)[0]:
            try:
                os.read(master, 65536)
            except OSError:  # nobody has it open any more
                break
        os.close(master)
    return screen


def drawn(screen: pyte.Screen) -> Text:
    """The screen with its colours."""
    text = Text()
    for line in range(LINES):
        for column in range(COLUMNS):
            cell = screen.buffer[line][column]
            colour = "" if cell.fg == "default" else {"brown": "yellow"}.get(cell.fg, cell.fg)
            text.append(cell.data, f"{'bold ' if cell.bold else ''}{colour}".strip())
        text.append("\n")
    return text


def main() -> None:
    """Make it."""
    with tempfile.TemporaryDirectory() as directory:
        screen = screen_of(directory)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(drawn(screen), end="")
    picture = console.export_svg(title="aelastic run --nproc-per-node 4 --max-restarts 3 train.py")
    TARGET.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))  # no request to anybody


if __name__ == "__main__":
    main()
