"""8. The first failure is the true one, however soon a peer fails in consequence and however busy the loop is.

``AELASTIC_TEST_FULL=1`` plays a thousand rounds of each.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.apps import has_ended
from tests.helpers.logs import finish
from tests.helpers.ranks import redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, in_full, ranks
from tests.without_pidfds.sitecustomize import PIDFDS

if TYPE_CHECKING:
    from pathlib import Path

    import aelastic
    from tests.scenarios.kinds import AnyStarting, Kind

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(in_full(60, 3600))]

IN_ANY_ORDER = pytest.mark.skipif(not PIDFDS, reason="threads that wait for ends get their turns in any order")
SLEEPING = "exec sleep 600"
PARTS = ("fails_first", "aborts_after", "bystander")
AT_ONCE = 5

SCRIPTS = {
    "fails_first": "echo $$ > {pid}.tmp; mv {pid}.tmp {pid}; read line < {go}; exit 3",
    "aborts_after": """
until [ -f {pid} ]; do :; done; read peer < {pid}
while read -r pid name state rest < /proc/$peer/stat && [ $state != Z ]; do :; done 2> /dev/null
kill -ABRT $$
""",
    "bystander": SLEEPING,
}


def play(kind: Kind, parts: tuple[str, ...], stage: Path, **options: Any) -> AnyStarting:
    """One rank for each part; the FIFO ``go`` in ``stage`` begins it."""
    files = {"pid": str(stage / "pid"), "go": str(stage / "go")}
    options["logs_specs"] = redirected(stage)  # an abort has much to say
    if kind == "program":
        return shell(*[SCRIPTS[part].format_map(files) for part in parts], **options)
    props = {"fails_first": (files["pid"], files["go"]), "aborts_after": (files["pid"],), "bystander": ()}
    return ranks(kind, vices.plays, *[(part, *props[part]) for part in parts], **options)


async def outcome(kind: Kind, parts: tuple[str, ...], stage: Path, **options: Any) -> aelastic.RunProcsResult:
    """The end of one round."""
    stage.mkdir()
    os.mkfifo(stage / "go")
    async with play(kind, parts, stage, **options) as ctx:
        await asyncio.to_thread((stage / "go").write_text, "now\n")
        return await finish(ctx)


def assert_true(result: aelastic.RunProcsResult, parts: tuple[str, ...]) -> None:
    """All are kept, the one is to blame, and what we have stopped is collateral."""
    first, second, bystander = (parts.index(part) for part in PARTS)
    assert set(result.failures) == {0, 1, 2}
    assert result.first_failure is result.failures[first]
    assert result.exitcodes[first] == 3
    assert result.exitcodes[bystander] == -signal.SIGTERM
    assert result.failures[bystander].collateral
    assert result.exitcodes[second] in (-signal.SIGABRT, -signal.SIGTERM)  # ours may come before its own


@pytest.mark.filterwarnings("ignore:start_method='fork'")
@each_kind
@IN_ANY_ORDER
async def test_the_rank_that_failed_first_is_to_blame(kind: Kind, tmp_path: Path) -> None:
    orders = list(permutations(PARTS))
    for start in range(0, in_full(10, 1000), AT_ONCE):
        rounds = {number: orders[number % len(orders)] for number in range(start, start + AT_ONCE)}
        runs = [outcome(kind, parts, tmp_path / str(number)) for number, parts in rounds.items()]
        for result, parts in zip(await asyncio.gather(*runs), rounds.values(), strict=True):
            assert_true(result, parts)


@pytest.mark.filterwarnings("ignore:start_method='fork'")
@each_kind
@IN_ANY_ORDER
async def test_a_peer_that_has_its_grace_fails_by_itself_and_second(kind: Kind, tmp_path: Path) -> None:
    for number, parts in enumerate([PARTS[:2], PARTS[1::-1]]):
        result = await outcome(kind, parts, tmp_path / str(number), failure_grace=600)
        first = parts.index("fails_first")
        assert result.exitcodes == {first: 3, 1 - first: -signal.SIGABRT}
        assert result.first_failure is result.failures[first]
        assert not result.failures[1 - first].collateral


async def test_t05_the_first_to_fail_is_to_blame() -> None:
    """torch compares whole seconds, taken when it polls: the lower rank gets the blame."""
    async with shell("sleep 0.4; exit 4", "exit 3", failure_grace=30) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: 4, 1: 3}
    assert result.first_failure is result.failures[1]


@IN_ANY_ORDER
async def test_of_sixty_four_the_first_is_to_blame(tmp_path: Path) -> None:
    files = {"pid": str(tmp_path / "pid"), "go": str(tmp_path / "go")}
    os.mkfifo(files["go"])
    scripts = [SLEEPING] * 64
    scripts[40], scripts[7] = SCRIPTS["fails_first"].format_map(files), SCRIPTS["aborts_after"].format_map(files)
    async with shell(*scripts) as ctx:
        await asyncio.to_thread((tmp_path / "go").write_text, "now\n")
        result = await finish(ctx)
    assert result.first_failure is result.failures[40]
    assert len(result.failures) == 64


# A busy loop


@pytest.mark.holds_the_loop
@pytest.mark.parametrize("busy", ["blocked", pytest.param("computing", marks=IN_ANY_ORDER)])
async def test_the_first_to_fail_is_blamed_however_busy_the_loop_is(busy: str) -> None:
    kill_in_order = block if busy == "blocked" else compute
    wrong = []
    for first in (0, 1) * in_full(8, 500):
        async with shell(SLEEPING, SLEEPING) as ctx:
            kill_in_order(ctx.pids()[first], ctx.pids()[1 - first])
            result = await finish(ctx)
        assert result.first_failure is not None
        wrong += [first] if result.first_failure.local_rank != first else []
    assert wrong == []


def block(first: int, second: int) -> None:
    """Hold the loop, not the interpreter, while ``first`` and then ``second`` die."""
    for pid in (first, second):
        os.kill(pid, signal.SIGKILL)
        assert has_ended(pid)
        time.sleep(0.005)


KILLER = """
for pid in $1 $2; do
    kill -9 $pid
    while read -r pid name state rest < /proc/$pid/stat && [ $state != Z ]; do :; done 2> /dev/null
    sleep 0.005
done
printf x 1<> $3
"""


def compute(first: int, second: int) -> None:
    """Hold the interpreter while ``first`` and then ``second`` die: no other thread gets a turn."""
    before = sys.getswitchinterval()
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1)
        with mmap.mmap(file.fileno(), 1) as done:
            command = ["/bin/sh", "-c", KILLER, "sh", str(first), str(second), file.name]
            with subprocess.Popen(command):
                sys.setswitchinterval(60.0)
                while done[0] == 0:
                    pass
                sys.setswitchinterval(before)


async def test_a_rank_that_failed_before_we_signalled_it_is_no_collateral() -> None:
    async with shell(SLEEPING, SLEEPING) as ctx:
        block(ctx.pids()[1], ctx.pids()[0])
        result = await finish(ctx)
    assert result.first_failure is result.failures[1]
    assert not result.failures[0].collateral
