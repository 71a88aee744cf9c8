"""The standard library's multiprocessing, as bare as it goes: the floor for functions."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _deliver(end: Any, work: Callable[..., Any], rank: int, args: tuple[Any, ...]) -> None:
    end.send(work(rank, *args))


async def function_ranks(
    work: Callable[..., Any], nprocs: int, args: tuple[Any, ...], method: str, preload: Sequence[str]
) -> dict[int, object]:
    """The values of ``work(rank, *args)``."""
    multiprocessing.set_forkserver_preload(list(preload))
    context: Any = multiprocessing.get_context(method)
    pipes = [context.Pipe(duplex=False) for _ in range(nprocs)]
    processes = [
        context.Process(target=_deliver, args=(writing, work, rank, args)) for rank, (_, writing) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    values = {rank: reading.recv() for rank, (reading, _) in enumerate(pipes)}
    for process in processes:
        process.join()
    return values
