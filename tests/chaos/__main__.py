"""Chaos for as long as one likes: ``python -m tests.chaos --seconds 1800 --json out.json``; ``--help`` teaches.

Prints a line each minute, each scene that did not go well, and how to see that again. Ends with 1 if there was one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.cell import own_cell
from tests.chaos.draw import draw_scene
from tests.chaos.murder import murder
from tests.chaos.session import Failure, Options, Sample, Session, Tally, warm_up
from tests.helpers.apps import LOOPS, new_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHIFT = 25  # gangs that one loop plays before it is closed and the next one made
_MINUTE = 60.0


class Soak:
    """One session for each loop, in turn, with samples of this process."""

    def __init__(self, options: Options, loops: Sequence[str], *, until_failure: bool) -> None:
        self._until_failure = until_failure
        self.samples: list[Sample] = []
        self._sessions = [Session(options, loop, self._look) for loop in loops]
        self._sampled_at = time.monotonic()

    @property
    def tally(self) -> Tally:
        """All sessions together."""
        total = Tally()
        for session in self._sessions:
            total.merge(session.tally)
        return total

    def run(self) -> None:
        """Play to the end."""
        while (waiting := [session for session in self._sessions if not session.over]) and not self._is_enough():
            for session in waiting:
                with asyncio.Runner(loop_factory=partial(new_loop, session.loop)) as runner:
                    runner.run(session.run(_SHIFT, until_failure=self._until_failure))
        self._sample()

    def _is_enough(self) -> bool:
        return self._until_failure and bool(self.tally.failures)

    def _look(self, failure: Failure | None) -> None:
        if failure is not None:
            print(f"\nNOT WELL, {failure}\n", flush=True)
        if not self.samples or time.monotonic() - self._sampled_at >= _MINUTE:
            self._sample()

    def _sample(self) -> None:
        self._sampled_at = time.monotonic()
        sample = Sample.now(self.tally)
        self.samples.append(sample)
        print(
            f"{sample.seconds:8.1f} s  {sample.gangs} gangs  {sample.ranks} ranks  {sample.failures} failures  "
            f"rss {sample.rss >> 20} MiB (max {sample.rss_max >> 20})  {sample.descriptors} descriptors  "
            f"{sample.threads} threads",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    arguments = _parser().parse_args(argv)
    loops = LOOPS if arguments.loop == "both" else (arguments.loop,)
    options = Options(arguments.seed, arguments.gangs, arguments.seconds, arguments.concurrency, same=arguments.same)
    if options.gangs is None and options.seconds is None:
        options = replace(options, gangs=1)
    if options.seconds is not None:
        options = replace(options, seconds=options.seconds / len(loops))
    if arguments.show:
        print(draw_scene(range(options.seed, options.seed + options.concurrency)))
        return 0
    if arguments.murders:
        return _murder(range(options.seed, options.seed + arguments.murders), loops)
    warm_up()
    soak = Soak(options, loops, until_failure=arguments.stop)
    with own_cell():
        soak.run()
    if arguments.json:
        _write(arguments.json, options, loops, soak)
    return 1 if soak.tally.failures else 0


def _murder(seeds: Sequence[int], loops: Sequence[str]) -> int:
    murders = []
    for seed, loop in itertools.product(seeds, loops):
        murders.append(murder(seed, loop))
        if murders[-1].complaints:
            print(f"\nNOT WELL, {murders[-1]}\n", flush=True)
    seconds = [one.seconds for one in murders]
    print(
        f"{len(murders)} murders, {sum(one.victims for one in murders)} victims, "
        f"gone after {statistics.median(seconds):.3f} s (median), {max(seconds):.3f} s (longest), "
        f"{sum(bool(one.complaints) for one in murders)} failures, "
        f"{sum(len(one.litter) for one in murders)} empty control groups left"
    )
    return 1 if any(one.complaints for one in murders) else 0


def _write(path: str, options: Options, loops: Sequence[str], soak: Soak) -> None:
    failures = [
        {"command": failure.command, "complaints": failure.complaints, "plan": str(failure.scene)}
        for failure in soak.tally.failures
    ]
    content = {
        "python": sys.version,
        "loops": loops,
        "options": asdict(options),
        "samples": [asdict(sample) for sample in soak.samples],
        "failures": failures,
    }
    with open(path, "w") as file:
        json.dump(content, file, indent=1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first scene; the next one has the next number")
    parser.add_argument("--gangs", type=int, help="how many on each loop, at least (1 if no time is given)")
    parser.add_argument("--seconds", type=float, help="how long, all loops together")
    parser.add_argument("--loop", choices=[*LOOPS, "both"], default="both")
    parser.add_argument("--concurrency", type=int, default=1, help="seeds that make up one scene")
    parser.add_argument("--same", action="store_true", help="the same scene again and again")
    parser.add_argument("--stop", action="store_true", help="end with the first scene that does not go well")
    parser.add_argument("--show", action="store_true", help="print the plan, run nothing")
    parser.add_argument("--murders", type=int, help="instead: kill an application as often on each loop")
    parser.add_argument("--json", help="write samples and failures to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
