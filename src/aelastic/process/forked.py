"""Starting a rank by multiprocessing's ``fork`` and ``forkserver``."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import signal
import threading
import warnings
import weakref
from functools import partial
from multiprocessing import process as multiprocessing_process
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from aelastic.decide.descriptors import Need
from aelastic.process.watch import UNKNOWN_EXITCODE, WatchedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from multiprocessing.process import BaseProcess

    from aelastic.process.watch import OnExit, Process


WAITING: weakref.WeakSet[threading.Thread] = weakref.WeakSet()  # for the fork: they hold no lock meanwhile


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
    return thread.name.startswith("aelastic-") or thread in WAITING  # what those hold, no rank asks for


def fork(target: Callable[..., None], args: tuple[Any, ...], on_exit: OnExit, clock: Callable[[], float]) -> Process:
    """Fork this process; the fork calls ``target``. ``on_exit`` and ``clock`` as in ``launch``. Raises ``OSError``.

    All signals are blocked from before the fork until ``target`` unblocks them, when it has reset their handlers: none
    can reach a handler of the application there, nor, through the inherited wake-up descriptor, here.
    """
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 counts our threads, too
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _watched(process, on_exit, clock)


async def fork_by_server(
    target: Callable[..., None],
    args: tuple[Any, ...],
    on_exit: OnExit,
    clock: Callable[[], float],
    executor: Executor,
) -> Process:
    """Let multiprocessing's fork server, started when first needed, make the process: off the loop, it may import.

    ``args`` are pickled; descriptors among them are wrapped in ``Sent``. Raises ``OSError``.
    """
    process = multiprocessing.get_context("forkserver").Process(target=target, args=args)
    try:
        await asyncio.get_running_loop().run_in_executor(executor, process.start)
    except EOFError as error:
        text = "multiprocessing's fork server has ended instead, which says why on its standard error"
        raise OSError(errno.ECHILD, text) from error
    return _watched(process, on_exit, clock, process.sentinel)


def fork_need() -> Need:
    """The descriptors that ``fork`` opens: multiprocessing's two pipes, of which it keeps one end each; a pidfd."""
    return Need(launching=4, running=3)


def server_need() -> Need:
    """The descriptors that ``fork_by_server`` opens: a socket and two pipes; then two of their ends, and a pidfd."""
    return Need(launching=5, running=3)


class Sent:
    """Descriptors on their way through multiprocessing's pickling: ``rebuild(values, descriptors)`` on arrival.

    ``descriptors`` are then multiprocessing's wrappers, to be detached.
    """

    def __init__(self, rebuild: Callable[..., Any], values: dict[str, Any], descriptors: dict[str, int]) -> None:
        self._rebuild = rebuild
        self._values = values
        self._descriptors = descriptors

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[dict[str, Any], dict[str, Any]]]:
        return self._rebuild, (self._values, {name: DupFd(number) for name, number in self._descriptors.items()})


def set_preload(modules: Sequence[str]) -> None:
    """Let the fork server import ``modules`` when it starts. It is multiprocessing's, and one for the application."""
    if modules:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["__main__", *modules])


def _watched(process: BaseProcess, on_exit: OnExit, clock: Callable[[], float], sentinel: int | None = None) -> Process:
    # multiprocessing would wait for it at the interpreter's end; ours stops it.
    multiprocessing_process._children.discard(process)  # type: ignore[attr-defined]
    if process.pid is None:
        raise OSError(errno.ESRCH, "multiprocessing has not started the process")
    return WatchedProcess(process.pid, partial(_reap, process), on_exit, clock, sentinel)


def _reap(process: BaseProcess) -> int:
    process.join()
    exitcode = process.exitcode
    process.close()
    return UNKNOWN_EXITCODE if exitcode is None else exitcode
