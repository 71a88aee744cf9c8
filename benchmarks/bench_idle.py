"""What does a supervisor do while 64 ranks run and say nothing?

Counted from outside: how often a thread of the supervisor, or of a helper that it has started, was woken. A task (or,
with torch, the main thread) waits for the result meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.contenders import AELASTIC, AELASTIC_UVLOOP, ASYNCIO, POSIX_SPAWN, SIMPERVISOR, SUPERVICE, TORCH
from benchmarks.contenders.job import CannotError, Job
from benchmarks.harness.question import Case, Question

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from benchmarks.contenders import Contender
    from benchmarks.harness.question import Values

_SETTLING = 0.5
_SECONDS = 3.0
_OBSERVES = """
import json, os, signal, sys, time
from benchmarks.harness.watching import children, cpu_seconds, wakeups
settling, seconds, path, supervisor, *ranks = sys.argv[1:]
supervisor, ranks = int(supervisor), [int(rank) for rank in ranks]
time.sleep(float(settling))
watched = [supervisor, *(pid for pid in children(supervisor) if pid not in [*ranks, os.getpid()])]
def total(of):
    return sum(map(of, watched))
before = total(wakeups), total(cpu_seconds)
time.sleep(float(seconds))
after = total(wakeups), total(cpu_seconds)
values = {name: (b - a) / float(seconds) for name, a, b in zip(("wakeups", "cpu"), before, after)}
open(path, "w").write(json.dumps(values))
for rank in ranks:
    os.kill(rank, signal.SIGKILL)
"""


def measure(contender: Contender, directory: Path, *, ranks: int, capture: Literal["none", "files", "tee"]) -> Values:
    """Wake-ups and CPU seconds per second."""
    if contender == SIMPERVISOR:
        raise CannotError("starts its processes again when they are ended from outside")
    module = contender.load()
    job = Job("sleep", (("600",),) * ranks, str(directory / "logs"), capture=capture)
    seen = directory / "seen"

    async def main() -> Values:
        import os

        gang = module.gang(job)
        await gang.start()
        arguments = (_SETTLING, _SECONDS, seen, os.getpid(), *gang.pids())
        observer = subprocess.Popen([sys.executable, "-c", _OBSERVES, *map(str, arguments)])  # noqa: ASYNC220
        await gang.wait()
        await gang.close()
        observer.wait()
        values: Values = json.loads(seen.read_text())
        return values

    return contender.run(main())


QUESTION = Question(
    name="idle",
    title="64 silent ranks: how often the supervisor wakes up",
    metrics={"wakeups": ("wake-ups/s", "of all its threads and helpers"), "cpu": ("CPU s/s", "that this takes")},
    contenders=(POSIX_SPAWN, AELASTIC, AELASTIC_UVLOOP, ASYNCIO, TORCH, SIMPERVISOR, SUPERVICE),
    cases=(
        Case("no capture", {"ranks": 64, "capture": "none"}),
        Case("redirect", {"ranks": 64, "capture": "files"}),
        Case("tee", {"ranks": 64, "capture": "tee"}),
    ),
    measure=measure,
    turns=1,
    quick=("redirect",),
)
