"""11. The error file can be anything: the failure is told with its exit code and last words, and the peers stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.helpers.disk import on_small_disk
from tests.helpers.logs import finish
from tests.helpers.ranks import redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import Kind, each_kind, ranks

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0
POISONS = {
    "empty": "it is empty",
    "truncated": "it is not JSON",
    "binary": "it is not JSON",
    "huge": "it is too large (209715200 bytes)",
    "directory": "it is not a regular file",
    "fifo": "it is not a regular file",
}


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:start_method='fork'")  # Python 3.11 watches each program in a thread
@each_kind
async def test_a_poisoned_error_file_is_a_field_of_the_failure(kind: Kind, tmp_path: Path) -> None:
    await asyncio.gather(*[poisoned(kind, how, tmp_path / how) for how in POISONS])


async def poisoned(kind: Kind, how: str, logs: Path) -> None:
    """One rank is killed, its peer stays; both have the same file."""
    args = (how, "is killed", signal.SIGKILL), (how, "stays")
    specs = redirected(logs)
    async with asyncio.timeout(PATIENCE), ranks(kind, vices.poisons_its_report, *args, logs_specs=specs) as ctx:
        result = await finish(ctx)
    failure = result.failures[0]
    assert result.first_failure is failure
    assert result.exitcodes == {0: -signal.SIGKILL, 1: -signal.SIGTERM}
    assert f"killed by SIGKILL; its error file could not be used: {POISONS[how]}" in failure.reason
    assert failure.stderr_tail == "last words"
    assert result.failures[1].collateral


@pytest.mark.asyncio
async def test_t04_a_malformed_error_file_is_told_and_stops_everybody() -> None:
    """torch's wait() raises a JSON error, and the other rank goes on."""
    async with shell('printf "{" > $TORCHELASTIC_ERROR_FILE; exit 1', "exec sleep 600") as ctx:
        result = await finish(ctx)
    assert "its error file could not be used: it is not JSON" in result.failures[0].reason
    assert result.exitcodes == {0: 1, 1: -signal.SIGTERM}


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["truncated", "directory"])
async def test_an_exception_is_told_wherever_its_report_cannot_go(how: str, tmp_path: Path) -> None:
    """A report that can be replaced is; where it cannot be, standard error has the traceback."""
    async with ranks("spawn", vices.poisons_its_report, (how, "raises", 7), logs_specs=redirected(tmp_path)) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: 1}
    assert ("exited with code 1: ValueError: 7" in result.failures[0].reason) == (how == "truncated")
    assert result.failures[0].stderr_tail.endswith("ValueError: 7")


@pytest.mark.asyncio
async def test_sixty_four_fifos_hold_nobody_up(tmp_path: Path) -> None:
    script = "mkfifo $TORCHELASTIC_ERROR_FILE; exit 3"
    async with asyncio.timeout(PATIENCE), shell(*[script] * 64, failure_grace=PATIENCE) as ctx:
        result = await finish(ctx)
    assert all(POISONS["fifo"] in failure.reason for failure in result.failures.values())
    assert len(result.failures) == 64


FULL_DISK = """
import asyncio, json, os, sys
import aelastic
from tests.scenarios.vices import raises_when_told

def fill(disk):
    with open(disk + "/filler", "wb", buffering=0) as filler:
        while True:
            try:
                filler.write(bytes(512))
            except OSError:
                return

async def main(disk, go):
    specs = aelastic.DefaultLogsSpecs(disk, redirects=aelastic.Std.ALL)
    async with aelastic.start_processes("f", raises_when_told, {0: (go,)}, {0: {}}, specs) as ctx:
        async for line in ctx.logs():
            break
        fill(disk)
        with open(go, "w") as fifo:
            fifo.write("now")
        result = await ctx.wait()
    failure = result.failures[0]
    print(json.dumps([failure.exitcode, failure.reason, failure.stderr_tail, sum(result.lost_log_bytes.values())]))

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


def test_a_full_disk_costs_the_report_not_the_failure(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    done = on_small_disk(tmp_path, FULL_DISK, tmp_path / "go")
    exitcode, reason, tail, lost = json.loads(done.stdout)
    assert (exitcode, reason) == (1, "exited with code 1")
    assert tail.endswith("ValueError: the disk is full")
    assert "No space left on device" in tail  # the report
    assert lost > 0
