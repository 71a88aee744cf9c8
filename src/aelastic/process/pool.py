"""Threads for what may block."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Pool(ThreadPoolExecutor):
    """A pool that makes do with the threads it has, once the kernel lets it have no more.

    The standard one raises then, from a ``submit`` that the threads it has could have served: ranks with many threads,
    which use up RLIMIT_NPROC, would end their own run by that. It raises as well when the interpreter ends, while a
    loop in a daemon thread still has ranks to stop; here, who submits does the work then.
    """

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Call ``fn`` in a thread."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            if threading.main_thread().is_alive():
                raise
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as in a thread: it is for whoever asks for the result
            future.set_exception(error)
        return future

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # the standard library's own, since Python 3.2
        except RuntimeError:
            if not self._threads:
                raise
