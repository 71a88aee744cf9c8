"""The standard library's multiprocessing, as bare as it goes: the floor."""

from __future__ import annotations

import multiprocessing
from typing import Any

from benchmarks.contenders.trivial import work


def _deliver(queue: Any, rank: int) -> None:
    queue.put((rank, work(rank)))


def function_ranks(nprocs: int) -> dict[int, object]:
    """Run a trivial function on fresh interpreters; its values."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [context.Process(target=_deliver, args=(queue, rank)) for rank in range(nprocs)]
    for process in processes:
        process.start()
    values = dict(queue.get() for _ in processes)
    for process in processes:
        process.join()
    return values
