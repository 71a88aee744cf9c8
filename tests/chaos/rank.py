"""What the ranks of a gang do: the steps of their plan, one after another. Started a thousand times: imports little.

Whatever the judge must know is written to the gang's file of deeds, a line in one piece, before it is done where it is
an end: ``what rank pid birth time detail``, with the time of the monotonic clock, which is one for all processes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.chaos.content import content

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import NoReturn, TypeAlias

    Pauses: TypeAlias = "Generator[float, None, Any]"

LONGEST_LIFE = 60  # seconds; whoever escapes everybody is gone then
_STEP = 0.05  # nobody sleeps for longer in one go: a signal just before a sleep is looked at after it
_BLOCK = 64 * 1024


def command(spec: str, function: str = "main") -> tuple[str, ...]:
    """What follows the name of the interpreter to make it a rank. ``-S``: it starts in half the time."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = f"import sys; sys.path[:0] = [{root!r}, {root!r} + '/src']"
    return "-S", "-E", "-c", f"{path}; from tests.chaos.rank import {function}; {function}()", spec


def main() -> None:
    """A rank that is a program."""
    if '"record"' in sys.argv[1]:
        from aelastic.errors.handler import record

        decorated: Callable[[str], Any] = record(live)
        decorated(sys.argv[1])
    else:
        live(sys.argv[1])


def outlive() -> None:
    """What a rank has left on purpose."""
    _Rank(json.loads(sys.argv[1])).outlive()


def live(spec: str) -> Any:
    """A rank that is a function."""
    life = _Rank(json.loads(spec)).live()
    while True:
        try:
            time.sleep(next(life))
        except StopIteration as end:
            return end.value


async def live_async(spec: str) -> Any:
    """A rank that is a coroutine function."""
    import asyncio

    life = _Rank(json.loads(spec)).live()
    while True:
        try:
            pause = next(life)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(pause)


class Unpicklable:
    """A value that cannot be sent."""

    def __reduce__(self) -> Any:
        raise TypeError("never to be pickled")


class LoadsBadly:
    """A value that cannot be received."""

    def __reduce__(self) -> Any:
        return _fail_to_load, ()


def _fail_to_load() -> NoReturn:
    raise RuntimeError("not with me")


class _Rank:
    """One rank. Each of its public methods is a step; what it yields are pauses in seconds."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._rank = spec["rank"]
        self._deeds = spec["deeds"]
        self._steps = spec["steps"]
        self._said = {1: 0, 2: 0}

    def live(self) -> Pauses:
        """Take every step; the value of the last one."""
        self._be_born()
        value = None
        for do, options in self._steps:
            value = yield from getattr(self, do)(**options)
        return value

    def rest(self, seconds: float) -> Pauses:
        """Do nothing."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            yield min(left, _STEP)

    def say(self, stream: int, kind: str, size: int, salt: int, pause: float) -> Pauses:
        """Write to a standard stream, as fast as it goes or with pauses."""
        rest = memoryview(content(kind, size, salt))
        while rest:
            block, rest = rest[:_BLOCK], rest[_BLOCK:]
            self._tell("saying", f"{stream} {self._said[stream] + len(block)}")
            while block:
                written = os.write(stream, block)
                self._said[stream] += written
                block = block[written:]
            self._tell("said", f"{stream} {self._said[stream]}")
            if pause:
                yield pause

    def ignore(self, numbers: list[int]) -> Pauses:
        """Be deaf to signals."""
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        yield from ()

    def leave_children(self, count: int, write: bool) -> Pauses:
        """Start processes in this group, which never end by themselves; they may write to standard error."""
        for number in range(count):
            if os.fork() == 0:
                self._be_child(number, write)
        yield from ()

    def let_escape(self, hold: bool) -> Pauses:
        """Start a process that leaves this group and session, and lets go of every descriptor unless it is to hold."""
        middle = os.fork()
        if middle == 0:
            os.setsid()
            if os.fork() == 0:
                if not hold:
                    os.closerange(0, 1024)
                self._be_child(0, write=False, how="escaped")
            os._exit(0)
        os.waitpid(middle, 0)
        yield from ()

    def detach(self) -> Pauses:
        """Start a process that is to outlive the run, in the way that is provided for it."""
        if os.fork() == 0:
            os.setsid()
            spec = json.dumps({"rank": self._rank, "deeds": self._deeds, "steps": []})
            argv = (sys.executable, *command(spec, "outlive"))
            os.execve(sys.executable, argv, {**os.environ, "AELASTIC_DETACH": "1"})  # noqa: S606
        yield from ()

    def freeze(self) -> Pauses:
        """Stop until somebody continues us."""
        os.kill(os.getpid(), signal.SIGSTOP)
        yield from ()

    def report(self, kind: str) -> Pauses:
        """Make something of the error file that no ``record`` would."""
        if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            _spoil(path, kind)
        yield from ()

    def end(self, how: str, code: int = 0, size: int = 0, salt: int = 0) -> Pauses:
        """The last step. ``code`` is the exit code to expect."""
        yield from ()
        values = {"value": (self._rank, content("binary", size, salt)), "unpicklable": Unpicklable(),
                  "loads badly": LoadsBadly()}  # fmt: skip
        if how == "signal":
            _prepare_to_die_by(-code)
        self._tell("ending", str(code))
        if how == "signal":
            os.kill(os.getpid(), -code)
        elif how == "exit":
            sys.exit(code)
        elif how == "_exit":
            os._exit(code)
        elif how in ("raise", "record"):
            raise RuntimeError(f"chaos of rank {self._rank}")
        return values.get(how)

    def outlive(self) -> NoReturn:
        """Be there for long."""
        self._be_child(0, write=False, how="detached")

    def _be_born(self, how: str = "born") -> None:
        signal.alarm(LONGEST_LIFE)
        with open("/proc/self/stat") as stat:
            self._birth = stat.read().rpartition(")")[2].split()[19]
        self._tell(how, "")

    def _be_child(self, number: int, write: bool, how: str = "born") -> NoReturn:
        try:
            self._be_born(how)
            for line in range(1_000_000):
                if write and line < 2000:
                    os.write(2, b"child %d.%d %d\n" % (self._rank, number, line))
                time.sleep(0.001 if write and line < 2000 else _STEP)
        finally:
            os._exit(0)

    def _tell(self, what: str, detail: str) -> None:
        file = os.open(self._deeds, os.O_WRONLY | os.O_APPEND)
        line = f"{what} {self._rank} {os.getpid()} {self._birth} {time.monotonic()} {detail}\n"
        os.write(file, line.encode())
        os.close(file)


def _prepare_to_die_by(number: int) -> None:
    """The signal is to kill, and to leave no core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)


def _spoil(path: str, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "endless":
        os.symlink("/dev/zero", path)
    else:
        with open(path, "wb") as file:
            file.write(_REPORTS[kind])


_REPORTS = {
    "empty": b"",
    "truncated": b'{"message": {"message": "chaos',
    "binary": bytes(range(256)) * 8,
    "nested": b"[" * 100_000,
    "large": b"x" * (5 << 20),
    "text": b'{"message": "chaos in one line", "timestamp": "soon"}',
}
