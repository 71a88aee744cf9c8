"""Functions for ranks to run; importable, so that every start method can."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from aelastic import rank
from aelastic.errors import record

if TYPE_CHECKING:
    import multiprocessing as mp
    from multiprocessing.connection import Connection
    from multiprocessing.shared_memory import SharedMemory

AT_IMPORT = os.environ.get("SEEN_AT_IMPORT")


def echo(value: Any) -> Any:
    print("returning", type(value).__name__)
    return value


def environment(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def seen_at_import() -> str | None:
    return AT_IMPORT


def act(vice: str, value: Any = None) -> Any:
    """End in one of many ways."""
    if vice == "returns":
        return value
    if vice == "raises":
        raise ValueError(value)
    if vice == "exits":
        sys.exit(value)
    if vice == "os._exit":
        os._exit(value)
    if vice == "is killed":
        os.kill(os.getpid(), value)
    time.sleep(60)
    return None


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("never to be pickled")


def fail_to_load() -> None:
    raise RuntimeError("not with me")


class LoadsBadly:
    def __reduce__(self) -> Any:
        return fail_to_load, ()


def unpicklable() -> Any:
    return Unpicklable()


def loads_badly() -> Any:
    return LoadsBadly()


def value_then_death() -> str:
    """Deliver a value, then be killed before the interpreter ends."""
    threading.Thread(target=_die_when_main_is_done).start()
    return "kept"


def _die_when_main_is_done() -> None:
    threading.main_thread().join()
    os.kill(os.getpid(), signal.SIGKILL)


def chained() -> None:
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        error = ValueError("the effect")
        error.add_note("a note")
        raise error from cause


@record
def recorded_itself() -> None:
    raise OSError("told twice")


async def doubled_later(value: int) -> int:
    await asyncio.sleep(0.01)
    return value * 2


async def cleans_up(path: str) -> None:
    print("ready", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        with open(path, "w") as file:
            file.write("cleaned up")


def put(queue: mp.Queue[int], value: int) -> None:
    queue.put(value)


def use_everything(
    lock: Any, event: Any, value: Any, connection: Connection, memory: SharedMemory, queue: mp.Queue[str]
) -> None:
    with lock:
        value.value += 1
    connection.send("through the connection")
    assert memory.buf is not None
    memory.buf[0] = 42
    memory.close()
    queue.put("through the queue")
    queue.close()
    queue.join_thread()
    event.set()


def describe_signals() -> dict[str, Any]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    return {
        "handlers": {int(number): getattr(handler, "__name__", str(handler)) for number, handler in handlers.items()},
        "wakeup": signal.set_wakeup_fd(-1),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }


def open_pipes() -> tuple[set[str], set[str]]:
    """The pipes of this rank's own streams, and all that it holds."""
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return {links[1], links[2]}, {link for link in links.values() if link.startswith("pipe:")}


def session() -> tuple[int, int]:
    return os.getpid(), os.getsid(0)


def imported(name: str) -> bool:
    """Whether the module was there before this function ran."""
    return name in sys.modules


def cpus() -> set[int]:
    return os.sched_getaffinity(0)


def sleeps() -> None:
    print("ready", flush=True)
    time.sleep(60)


def ignores_term() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(60)


def prints_in_c(text: str) -> None:
    ctypes.CDLL(None).printf(b"%s\n", text.encode())


def zeros(count: int) -> bytes:
    return bytes(count)


def reads_input() -> str:
    return os.read(0, 10).decode()


def answer(wanted: str) -> Any:
    """A value that travels, or one that does not."""
    return {"": b"", "bytes": bytes(3_000_000), "unpicklable": Unpicklable(), "loads badly": LoadsBadly()}[wanted]


def tells() -> tuple[int, int, int, int, float | None]:
    """Say everything a rank can say."""
    rank.status(f"rank {rank.rank()} of {rank.world_size()}")
    rank.progress(3, 10)
    rank.heartbeat()
    rank.ready()
    return rank.rank(), rank.world_size(), rank.local_rank(), rank.local_world_size(), rank.watchdog_interval()


def open_sockets() -> list[str]:
    """The sockets that this rank holds."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [link for link in found if link.startswith("socket:")]


def fails_first(value: str) -> str:
    """Fail in the first attempt."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        raise RuntimeError("not yet")
    return value
