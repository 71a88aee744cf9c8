"""Threads for what may block."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class Pool(ThreadPoolExecutor):
    """A pool that makes do with the threads it has, once the kernel lets it have no more.

    The standard one raises then, from a ``submit`` that the threads it has could have served: ranks with many threads,
    which use up RLIMIT_NPROC, would end their own run by that.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # the standard library's own, since Python 3.2
        except RuntimeError:
            if not self._threads:
                raise
