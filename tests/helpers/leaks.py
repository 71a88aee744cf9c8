"""What a process owns: children, threads, file descriptors, signal handlers."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Belongings:
    """One look at what this process owns."""

    children: frozenset[int]
    threads: frozenset[str]
    descriptors: frozenset[tuple[int, str]]
    handlers: frozenset[tuple[int, str]]

    @classmethod
    def now(cls) -> Belongings:
        """Look."""
        return cls(_children(), _threads(), _descriptors(), _handlers())

    def left_behind(self, patience: float) -> list[str]:
        """What is there now and was not then, after at most ``patience`` seconds for it to go."""
        deadline = time.monotonic() + patience
        while (left := self.left()) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)
        return left

    def left(self) -> list[str]:
        """What is there now and was not then."""
        now = Belongings.now()
        return [
            *(f"process {_describe(pid)}" for pid in now.children - self.children),
            *(f"thread {name}" for name in now.threads - self.threads),
            *(f"descriptor {number} -> {target}" for number, target in now.descriptors - self.descriptors),
            *(f"signal handler {number}: {handler}" for number, handler in now.handlers ^ self.handlers),
        ]


def _children() -> frozenset[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:  # the thread has ended
            continue
    return frozenset(found)


def _threads() -> frozenset[str]:
    return frozenset(f"{thread.name}/{thread.ident}" for thread in threading.enumerate())


def _descriptors() -> frozenset[tuple[int, str]]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((int(entry.name), os.readlink(entry)))
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return frozenset(found)


def _handlers() -> frozenset[tuple[int, str]]:
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGALRM}  # the last is pytest-timeout's
    return frozenset((int(number), _name(signal.getsignal(number))) for number in numbers)


def _name(handler: object) -> str:
    """Without arguments: those of ``asyncio.Runner``'s are shown differently with each step of its task."""
    return repr(handler.func if isinstance(handler, functools.partial) else handler)


def _describe(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r} {Path(f'/proc/{pid}/stat').read_text()[:40]}"
    except FileNotFoundError:
        return f"{pid} (gone)"


async def left_in_loop(
    before: Belongings, tasks: set[asyncio.Task[Any]], *others: str, patience: float = 2.0
) -> list[str]:
    """For an application: what is still there when its loop has had time to turn, tasks included.

    ``others`` are words that tell what of it is none of ours.
    """
    deadline = time.monotonic() + patience
    known = ("signal handler", *others)  # asyncio.run's
    while True:
        left = [one for one in before.left_behind(patience=0) if not any(word in one for word in known)]
        left += [str(task) for task in asyncio.all_tasks() - tasks]
        if not left or time.monotonic() > deadline:
            return left
        gc.collect()
        await asyncio.sleep(0)
