"""8, 9 and 11: which rank failed, how, and what it left to say so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.helpers import functions

from benchmarks.faults import aelastic_, torch_elastic
from benchmarks.faults.stage import Scenario, Seen, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDS = 6
SECOND, FIRST = "import time; time.sleep(0.7); exit(4)", "import time; time.sleep(0.2); exit(3)"

POISONS = ("truncated", "binary", "huge", "directory", "fifo")
PATIENCE = 10.0


def fails_at(moment: float, code: int) -> None:
    """Raise at ``moment``, in seconds since the epoch."""
    time.sleep(max(0.0, moment - time.time()))
    raise ValueError(code)


# 8


def torch_first_failure(stage: Stage) -> None:
    """Rank 1 fails at 0.2 s, rank 0 at 0.7 s; who is named?"""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    named = []
    for _ in range(ROUNDS):
        result = torch_elastic.python(stage, SECOND, FIRST).wait()
        named.append(ChildFailedError("w", result.failures).get_first_failure()[0])
        stage.note(named=named, kept=len(result.failures))


def aelastic_first_failure(stage: Stage) -> None:
    """The same; with the second that torch's polling leaves to the others."""

    async def main() -> None:
        named = []
        for _ in range(ROUNDS):
            async with aelastic_.python(stage, SECOND, FIRST, failure_grace=1.0) as ctx:
                result = await ctx.wait()
            named.append(result.first_failure.local_rank)
            stage.note(named=named, kept=len(result.failures))

    aelastic_.run(main())


def torch_first_failure_of_functions(stage: Stage) -> None:
    """The same with functions that raise."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    named = []
    for _ in range(ROUNDS):
        begin = time.time() + 6.0  # until then both have imported torch
        context = torch_elastic.start(stage, fails_at, (begin + 0.7, 4), (begin + 0.2, 3), start_method="spawn")
        result = context.wait()
        named.append(ChildFailedError("w", result.failures).get_first_failure()[0])
        stage.note(named=named, kept=len(result.failures))


def aelastic_first_failure_of_functions(stage: Stage) -> None:
    """The same with functions that raise."""

    async def main() -> None:
        named = []
        for _ in range(ROUNDS):
            begin = time.time() + 1.0
            args = (begin + 0.7, 4), (begin + 0.2, 3)
            async with aelastic_.start(stage, fails_at, *args, failure_grace=1.0) as ctx:
                result = await ctx.wait()
            named.append(result.first_failure.local_rank)
            stage.note(named=named, kept=len(result.failures))

    aelastic_.run(main())


def tell_named(seen: Seen) -> str:
    """How often the true one."""
    named = seen.facts.get("named", [])
    return f"the true one named in {named.count(1)} of {len(named)} runs, {seen.facts.get('kept')} of 2 failures kept"


# 9


def torch_no_answer(stage: Stage) -> None:
    """A function ends its process with 0."""
    context = torch_elastic.start(stage, functions.act, ("os._exit", 0), start_method="spawn")
    began = time.monotonic()
    result = context.wait(timeout=PATIENCE)
    stage.note(seconds=time.monotonic() - began, told=str(result and result.failures))


def aelastic_no_answer(stage: Stage) -> None:
    """A function ends its process with 0."""

    async def main() -> None:
        async with aelastic_.start(stage, functions.act, ("os._exit", 0)) as ctx:
            began = time.monotonic()
            result = await ctx.wait(PATIENCE)
            stage.note(seconds=time.monotonic() - began, told=result.failures[0].reason)

    aelastic_.run(main())


def tell_no_answer(seen: Seen) -> str:
    """What wait() said, and when."""
    seconds, told = seen.facts["seconds"], seen.facts["told"]
    if told == "None":
        return f"wait(timeout={PATIENCE:.0f}) returned None after {seconds:.0f} s: it would never end"
    return f"after {seconds:.2f} s: {told}"


# 11


def _poisoning(how: str) -> tuple[str, str]:
    vice = f"from tests.scenarios.vices import poisons_its_report as p; p({how!r}, 'exits', 3)"
    return vice, "import time\nwhile True: time.sleep(0.05)"


def torch_poisoned(stage: Stage) -> None:
    """The error file is something else."""
    outcomes: dict[str, str] = {}
    for how in POISONS:
        try:
            result = torch_elastic.python(stage, *_poisoning(how)).wait(timeout=PATIENCE)
            outcomes[how] = _outcome(result)
        except Exception as error:  # noqa: BLE001 - that is the question
            outcomes[how] = f"wait() raised {type(error).__name__}"
        stage.note(outcomes=outcomes)


def aelastic_poisoned(stage: Stage) -> None:
    """The error file is something else."""

    async def main() -> None:
        outcomes: dict[str, str] = {}
        for how in POISONS:
            async with aelastic_.python(stage, *_poisoning(how)) as ctx:
                outcomes[how] = _outcome(await ctx.wait(PATIENCE))
            stage.note(outcomes=outcomes)

    aelastic_.run(main())


def _outcome(result: Any) -> str:
    return "wait() did not return" if result is None else f"exit code {result.failures[0].exitcode} told"


def tell_poisoned(seen: Seen) -> str:
    """Each poison, those with the same outcome together."""
    by_outcome: dict[str, list[str]] = {}
    for how, outcome in seen.facts.get("outcomes", {}).items():
        by_outcome.setdefault(outcome, []).append(how)
    told = "; ".join(f"{outcome} ({', '.join(hows)})" for outcome, hows in by_outcome.items())
    return f"{told}; {seen.left}"


SCENARIOS: Iterable[Scenario] = (
    Scenario(
        "08 programs",
        "rank 1 fails half a second before rank 0",
        torch_first_failure,
        aelastic_first_failure,
        tell_named,
        limit=60.0,
    ),
    Scenario(
        "08 functions",
        "the same with functions",
        torch_first_failure_of_functions,
        aelastic_first_failure_of_functions,
        tell_named,
        limit=120.0,
    ),
    Scenario("09", "a function calls os._exit(0)", torch_no_answer, aelastic_no_answer, tell_no_answer),
    Scenario("11", "the error file is no error file", torch_poisoned, aelastic_poisoned, tell_poisoned, limit=60.0),
)
