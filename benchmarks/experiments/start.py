"""What does starting 64 ranks of /bin/true cost beside the bare system call and beside asyncio's own subprocesses?

    python -m benchmarks.experiments.start [--ranks 64] [--turns 10]

Verdict: half of what is above ``posix_spawn`` is asyncio's and the file system's. Milliseconds of processor time for 64
ranks, ours and the children's, beside a fixed 41 to 45 of the children themselves; wall time on a machine that others
use at the same time says little, unloaded it was 1.7 to 1.9 of the bare one on 3.13 and 2.0 to 2.1 on 3.11 (marker):

    bare ``posix_spawn``                       3 to 5
    asyncio's ``create_subprocess_exec``      13  (3.13)   20  (3.11: a thread for each child)
    the same with an environment of its own   16
    ours, containment="group" or "marker"     31           40
    ours without directories (os.devnull)     27           36
    ours, containment="cgroup"                48 (58 before)

Of the 11 ms between 16 and 27 on 3.13, found by leaving one thing out: writes that wake the guardian 1.5 (and 3 of its
own), the last look for marks 1.6, preparing 1.5; watching pidfds, sweeping, events and readiness less than 0.5 each;
the rest is the bookkeeping of 64 ranks, 90 us each. Directories, one for each rank's error file: ``mkdir`` 15 and
``rmdir`` 57 us each on ext4, 2 and 1 on tmpfs. Voluntary switches are 65 bare, 127 ours without directories, 205 with
them, and each lets other load take the core for a slice; that may be why, beside other load, the wall time is 3 times
the bare one where the processor time is 1.8 times.

Not taken: telling the guardian of several ranks at once, 5 %, since a rank that empties its environment (``env -i``)
would escape a supervisor that is killed within these milliseconds; removing the directories after the result, since a
supervisor's next attempt makes them again at that moment; encoding the environment before ``Popen`` does, 0.4 ms.
Taken: removals told together, empty directories removed unlisted, three hops to a thread instead of five, and nothing
that takes time proportional to all ranks for each of them (1000 ranks: 0.66 to 0.44 s of the launch).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import aelastic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aelastic.conduct.containment import Mode

_PROGRAM = "/bin/true"


async def bare(ranks: int) -> None:
    """The system calls; nothing else runs meanwhile."""
    _spawn_and_wait(ranks)


def _spawn_and_wait(ranks: int) -> None:
    for pid in [os.posix_spawn(_PROGRAM, [_PROGRAM], os.environ) for _ in range(ranks)]:
        os.waitpid(pid, 0)


async def stock(ranks: int) -> None:
    """What the loop offers."""
    nowhere = asyncio.subprocess.DEVNULL
    started = [
        await asyncio.create_subprocess_exec(_PROGRAM, stdin=nowhere, start_new_session=True) for _ in range(ranks)
    ]
    for process in started:
        await process.wait()


async def ours(ranks: int, mode: Mode, log_dir: str | None = None) -> None:
    """A run."""
    async with aelastic.start_processes(
        "start",
        _PROGRAM,
        args=dict.fromkeys(range(ranks), ()),
        envs={rank: {} for rank in range(ranks)},
        logs_specs=aelastic.DefaultLogsSpecs(log_dir),
        containment=mode,
    ) as ctx:
        await ctx.wait()


CONTENDERS: Mapping[str, Callable[[int], Awaitable[None]]] = {
    "bare": bare,
    "asyncio": stock,
    "group": partial(ours, mode="group"),
    "marker": partial(ours, mode="marker"),
    "cgroup": partial(ours, mode="cgroup"),
    "marker, no directories": partial(ours, mode="marker", log_dir=os.devnull),
}


def _processor_time(who: int) -> float:
    return sum(resource.getrusage(who)[:2])


async def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--turns", type=int, default=10)
    options = parser.parse_args()
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(options.turns):
        for name, contender in CONTENDERS.items():
            own, children = _processor_time(resource.RUSAGE_SELF), _processor_time(resource.RUSAGE_CHILDREN)
            begin = time.perf_counter()
            await contender(options.ranks)
            wall = time.perf_counter() - begin
            own, children = (
                _processor_time(resource.RUSAGE_SELF) - own,
                _processor_time(resource.RUSAGE_CHILDREN) - children,
            )
            figures[name].append((wall, own, children))
    for name, turns in figures.items():
        ratios = [mine / least for (mine, *_), (least, *_) in zip(turns, figures["bare"], strict=True)]
        wall, own, children = (1000 * statistics.median(column) for column in zip(*turns, strict=True))
        ratio = statistics.median(ratios)
        print(f"{name:24} {wall:6.1f} ms, {ratio:.2f} of bare; processor {own:5.1f} ms, children {children:5.1f}")


if __name__ == "__main__":
    asyncio.run(main())
