"""What ranks do in the scenarios. Importing this costs a rank next to nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

DEAF = "trap '' TERM INT HUP; echo ready; exec > /dev/null 2>&1; while :; do sleep 600; done"


def say(*words: object) -> None:
    """Print at once, also from a signal handler that has come in the middle of this."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def stay() -> NoReturn:
    """Never end by oneself; a signal just before a sleep is looked at after it."""
    while True:
        time.sleep(0.05)


def ready_and_stays() -> NoReturn:
    """Say so, and go on for ever."""
    say("ready")
    stay()


def end(ending: str, value: int = 0) -> None:
    """End in one of many ways."""
    if ending == "exits":
        sys.exit(value)
    if ending == "is killed":
        os.kill(os.getpid(), value)
    if ending == "raises":
        raise ValueError(value)
    if ending == "stays":
        stay()


def when_asked(answer: Callable[[int], None], *signals: int) -> None:
    """Let ``answer`` handle the signals."""

    def handle(number: int, frame: FrameType | None) -> None:
        answer(number)

    for number in signals:
        signal.signal(number, handle)


def starts_family(ending: str, value: int = 0) -> None:
    """Start two grandchildren, one of them deaf and silent, say their pids, and end."""
    import subprocess

    plain = subprocess.Popen(["/bin/sleep", "600"])
    deaf = subprocess.Popen(["/bin/sh", "-c", DEAF], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    say("family", plain.pid, deaf.pid)
    end(ending, value)


def leaves_daemon(pid_file: str, daemon: str, rank: str = "ends") -> int:
    """End well, and leave a process of another session that holds everything this rank had open.

    ``daemon`` is what that does: ``sleeps``, ``closes stdout``, ``floods``, or ``says when`` the rank is gone.
    With ``rank`` ``writes`` the rank writes 1 MiB in one go before it ends.
    """
    ready, tell = os.pipe()
    alive, held = os.pipe()  # ends with the rank
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(held)
        os.write(tell, b".")
        _be_daemon(daemon, alive)
        os._exit(0)
    with open(pid_file, "w") as file:
        file.write(str(pid))
    os.read(ready, 1)
    if rank == "writes":
        fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.write(1, b"x" * (1 << 20))
    return pid


def _be_daemon(what: str, alive: int) -> None:
    if what == "says when":
        os.read(alive, 1)
        os.write(1, b"daemon\n")
        return
    if what == "closes stdout":
        os.close(1)
    while what == "floods":
        os.write(1, b"y\n" * 100)
    time.sleep(600)


def is_short(milliseconds: int, ending: str = "returns", value: int = 0) -> str:
    """Take a moment, then end."""
    time.sleep(milliseconds / 1000)
    end(ending, value)
    return "short"


def ignores_the_polite() -> NoReturn:
    """Ignore every signal that can be ignored and asks for an end."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    ready_and_stays()


def fails_first(pid_file: str, go: str) -> NoReturn:
    """Say the pid in a file, wait for a line from the FIFO ``go``, and fail."""
    with open(f"{pid_file}.tmp", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{pid_file}.tmp", pid_file)
    with open(go) as fifo:
        fifo.readline()
    os._exit(3)


def aborts_after(pid_file: str) -> NoReturn:
    """Abort as soon as the process whose pid is in the file has ended: not a moment before."""
    while not os.path.exists(pid_file):
        time.sleep(0.001)
    with open(pid_file) as file:
        peer = int(file.read())
    with contextlib.suppress(ProcessLookupError):  # it has been reaped
        select.select([os.pidfd_open(peer)], [], [])
    os.kill(os.getpid(), signal.SIGABRT)
    stay()


def plays(part: str, *args: str) -> NoReturn:
    """``fails_first``, ``aborts_after``, or a bystander."""
    if part == "fails_first":
        fails_first(*args)
    if part == "aborts_after":
        aborts_after(*args)
    stay()


def poisons_its_report(how: str, ending: str, value: int = 0) -> None:
    """Leave something at the path of the error file that is none, say last words, and end."""
    path = os.environ["TORCHELASTIC_ERROR_FILE"]
    if how == "directory":
        os.mkdir(path)
    elif how == "fifo":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.write({"truncated": b'{"message": {"mess', "binary": bytes(range(256))}.get(how, b""))
            file.truncate(200 * 1024 * 1024 if how == "huge" else None)
    print("last words", file=sys.stderr, flush=True)
    end(ending, value)


def raises_when_told(go: str) -> NoReturn:
    """Say so, wait for the FIFO ``go``, and raise."""
    say("ready")
    with open(go) as fifo:
        fifo.read()
    raise ValueError("the disk is full")


def counts_signals(ends: bool) -> None:
    """Say every signal that asks for an end; with ``ends`` wait a little for more after the first, and end."""
    seen: list[int] = []

    def count(number: int) -> None:
        seen.append(number)
        say("got", signal.Signals(number).name, seen.count(number))

    when_asked(count, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    say("ready")
    while not (ends and seen):
        time.sleep(0.01)
    time.sleep(0.2)
    say("counted", len(seen))


def saves(checkpoint: str, seconds: float) -> NoReturn:
    """Take ``seconds`` to write the checkpoint when told to end by whatever signal, and exit with 0."""

    def save(number: int) -> None:
        time.sleep(seconds)
        with open(checkpoint, "w") as file:
            file.write("complete")
        os._exit(0)

    when_asked(save, signal.SIGTERM, signal.SIGINT)
    ready_and_stays()


def is_deaf(asked: str) -> NoReturn:
    """Note the time at which it was told to end in a file, and go on."""

    def note(number: int) -> None:
        with open(asked, "w") as file:
            file.write(str(time.time()))

    when_asked(note, signal.SIGTERM, signal.SIGINT)
    ready_and_stays()


def has_a_part(part: str, *args: str) -> NoReturn:
    """``saves``, ``is deaf``, or a bystander."""
    if part == "saves":
        saves(args[0], float(args[1]))
    if part == "is deaf":
        is_deaf(*args)
    ready_and_stays()


def heads_family(part: str) -> NoReturn:
    """Start two grandchildren, one of them in a session of its own, say all pids, and be deaf, stuck, or neither."""
    import subprocess

    plain = subprocess.Popen(["/bin/sleep", "600"])
    apart = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    if part == "is deaf":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    say("family", os.getpid(), plain.pid, apart.pid)
    if part == "is stuck":  # in C code that keeps the interpreter and lets no signal through
        import ctypes

        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.PyDLL(None).sleep(600)
    stay()


def lets_escape(pid_file: str, how: str = "executes", ending: str = "stays", value: int = 0) -> None:
    """Make a daemon in the classical way, deaf and with nothing open, whose pid is then in the file, and end.

    ``how``: it ``executes`` a program, as daemons do; is a bare ``fork``; or executes one that is ``detached``.
    """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            _be_escapee(pid_file, how)
        os._exit(0)
    os.wait()
    while not os.path.exists(pid_file):
        time.sleep(0.001)
    say("ready")
    end(ending, value)


def _be_escapee(pid_file: str, how: str) -> NoReturn:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.closerange(0, 256)
    env = {**os.environ, "AELASTIC_DETACH": "1"} if how == "detached" else dict(os.environ)
    script = f"echo $$ > {pid_file}.tmp; mv {pid_file}.tmp {pid_file}; exec sleep 600"
    if how != "fork":
        os.execve("/bin/sh", ["sh", "-c", script], env)  # noqa: S606 - that there is no shell between is the point
    with open(f"{pid_file}.tmp", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{pid_file}.tmp", pid_file)
    stay()
