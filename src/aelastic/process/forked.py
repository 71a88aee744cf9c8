"""Starting a rank by multiprocessing's ``fork`` and ``forkserver``."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import signal
import threading
import warnings
from dataclasses import fields
from functools import partial
from multiprocessing import process as multiprocessing_process
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from aelastic.process.payload import Packed
from aelastic.process.watch import UNKNOWN_EXITCODE, WatchedProcess
from aelastic.worker.forked import Entry, enter_and_run, enter_and_run_packed, receive_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from multiprocessing.process import BaseProcess

    from aelastic.process.watch import Process


def warn_of_threads() -> None:
    """Say once that a fork copies no thread but this one, and the locks that the others hold."""
    if any(thread is not threading.current_thread() and not _is_ours(thread) for thread in threading.enumerate()):
        warnings.warn(
            "start_method='fork' in an application with threads: a lock that another thread holds at the fork stays "
            "locked in the rank for ever; use 'spawn' or 'forkserver'",
            RuntimeWarning,
            stacklevel=2,
        )


def _is_ours(thread: threading.Thread) -> bool:
    return thread.name.startswith("aelastic-")  # what those hold, no rank asks for


def fork(entry: Entry, function: Callable[..., Any], args: Sequence[Any], on_exit: Callable[[int], None]) -> Process:
    """Fork this process; the fork becomes a rank. ``on_exit`` as in ``launch``. Raises ``OSError``.

    All signals are blocked from before the fork until the rank has reset their handlers: none can reach a handler of
    the application there, nor, through the inherited wake-up descriptor, here.
    """
    process = multiprocessing.get_context("fork").Process(target=enter_and_run, args=(entry, function, args))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 counts our threads, too
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _watched(process, on_exit)


async def fork_by_server(
    entry: Entry,
    function: Callable[..., Any],
    args: Sequence[Any],
    on_exit: Callable[[int], None],
    executor: Executor,
) -> Process:
    """Let multiprocessing's fork server, started when first needed, make the rank: off the loop, since it may import.

    The descriptors of ``entry`` are this process's; the rank gets copies.
    """
    process = multiprocessing.get_context("forkserver").Process(
        target=enter_and_run_packed, args=(_SentEntry(entry), Packed(function, args))
    )
    await asyncio.get_running_loop().run_in_executor(executor, process.start)
    return _watched(process, on_exit, process.sentinel)


def set_preload(modules: Sequence[str]) -> None:
    """Let the fork server import ``modules`` when it starts. It is multiprocessing's, and one for the application."""
    if modules:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", *modules])


class _SentEntry:
    """An entry on its way through multiprocessing's pickling, its descriptors sent along."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def __reduce__(self) -> tuple[Callable[..., Entry], tuple[dict[str, Any], dict[str, Any]]]:
        values = {one.name: getattr(self._entry, one.name) for one in fields(Entry)}
        numbers = {name: values.pop(name) for name in ("stdout", "stderr", "value_end")}
        sent = {name: DupFd(number) for name, number in numbers.items() if number is not None and number >= 0}
        kept = {name: number for name, number in numbers.items() if name not in sent}
        return receive_entry, ({**values, **kept}, sent)


def _watched(process: BaseProcess, on_exit: Callable[[int], None], sentinel: int | None = None) -> Process:
    # multiprocessing would wait for it at the interpreter's end; ours stops it.
    multiprocessing_process._children.discard(process)  # type: ignore[attr-defined]
    if process.pid is None:
        raise OSError(errno.ESRCH, "multiprocessing has not started the process")
    return WatchedProcess(process.pid, partial(_reap, process), on_exit, sentinel)


def _reap(process: BaseProcess) -> int:
    process.join()
    exitcode = process.exitcode
    process.close()
    return UNKNOWN_EXITCODE if exitcode is None else exitcode
