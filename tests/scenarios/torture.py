"""Output that is hard to log: what a rank writes, and what is to be found of it afterwards."""

from __future__ import annotations

import os
import random
import signal

WAYS = ("plain", "long line", "progress", "characters", "nul", "no newline", "os._exit", "sigkill")


def output(rank: int, lines: int) -> bytes:
    """What ``rank`` writes to its standard output: numbered lines, made hard in the way of the rank."""
    way = WAYS[rank % len(WAYS)]
    body = b"".join(b"%d of rank %d%s\n" % (n, rank, _decoration(way, n)) for n in range(lines))
    if way == "long line":
        return body + b"x" * (lines * 100) + b"\nafter\n"
    if way == "progress":
        return body + b"".join(b"\r%3d%%" % percent for percent in range(101)) + b"\nafter\n"
    if way in ("no newline", "os._exit", "sigkill"):
        return body + b"half a li"
    return body


def write_all(rank: int, lines: int) -> None:
    """Write it in pieces of any size, which tear lines and characters, and end in the way of the rank."""
    chance = random.Random(rank)
    rest = memoryview(output(rank, lines))
    while rest:
        rest = rest[os.write(1, rest[: chance.choice([1, 7, 4096, 70_000])]) :]
    way = WAYS[rank % len(WAYS)]
    if way == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "os._exit":
        os._exit(3)


def _decoration(way: str, number: int) -> bytes:
    if way == "characters":
        return " é€𝄞".encode() * (number % 5)
    return b"\0" * (number % 5) if way == "nul" else b""
