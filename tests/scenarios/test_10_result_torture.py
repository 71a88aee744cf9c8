"""10. Answers of any size, and some that cannot travel: a value or an error with its traceback, for each rank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import functions
from tests.helpers.logs import finish, resident_bytes
from tests.scenarios.kinds import Method, each_method, ranks

pytestmark = pytest.mark.asyncio

GIGABYTE = 1_000_000_000


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("method", ["spawn", "fork"])
async def test_an_answer_of_a_gigabyte(method: Method) -> None:
    await bring_home_a_gigabyte(method)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_an_answer_of_a_gigabyte_on_uvloop() -> None:
    await bring_home_a_gigabyte("forkserver")


async def bring_home_a_gigabyte(method: Method) -> None:
    """The supervisor holds it once."""
    before = resident_bytes()
    forget_peak_memory()
    async with ranks(method, functions.zeros, (GIGABYTE,), (0,)) as ctx:
        result = await finish(ctx)
    assert {rank: len(value) for rank, value in result.return_values.items()} == {0: GIGABYTE, 1: 0}
    assert peak_memory() - before < 1.2 * GIGABYTE


def forget_peak_memory() -> None:
    """``peak_memory`` begins anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most memory that this process had at a time, in bytes."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


@each_method
async def test_an_unpicklable_value_is_a_failure_with_its_traceback(method: Method) -> None:
    async with ranks(method, functions.unpicklable, ()) as ctx:
        result = await finish(ctx)
    failure = result.failures[0]
    assert failure.reason == "exited with code 1: TypeError: never to be pickled"
    assert isinstance(failure.message, dict)
    assert "__reduce__" in failure.message["extraInfo"]["py_callstack"]
    assert json.loads(Path(failure.error_file).read_text()) == failure.error_file_data


@each_method
async def test_a_value_that_does_not_load_fails_its_rank_alone(method: Method) -> None:
    async with ranks(method, functions.loads_badly, ()) as ctx:
        result = await finish(ctx)
    assert result.failures[0].reason == "its value could not be unpickled: RuntimeError('not with me')"
    assert "fail_to_load" in str(result.failures[0].message)


@each_method
async def test_the_other_ranks_are_not_affected(method: Method) -> None:
    wanted = [("",), ("unpicklable",), ("loads badly",), ("bytes",), ("bytes",)]
    async with ranks(method, functions.answer, *wanted, failure_grace=30) as ctx:
        result = await finish(ctx)
    assert result.return_values == {0: b"", 3: bytes(3_000_000), 4: bytes(3_000_000)}
    assert set(result.failures) == {1, 2}
    assert not any(failure.collateral for failure in result.failures.values())


async def test_sixty_four_answers() -> None:
    async with ranks("fork", functions.zeros, *[(rank * 10_000,) for rank in range(64)]) as ctx:
        result = await finish(ctx)
    assert {rank: len(value) for rank, value in result.return_values.items()} == {r: r * 10_000 for r in range(64)}
