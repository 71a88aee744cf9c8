"""9. A function's rank ends well without an answer, or badly with one: every end is an end, and is told."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.helpers import functions
from tests.helpers.logs import finish
from tests.scenarios.kinds import Method, each_method, ranks

pytestmark = pytest.mark.asyncio

PATIENCE = 30.0


@each_method
async def test_exit_0_without_a_value_is_a_failure(method: Method) -> None:
    async with asyncio.timeout(PATIENCE), ranks(method, functions.act, ("os._exit", 0), ("hangs",)) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: 0, 1: -signal.SIGTERM}
    assert result.failures[0].reason == "ended without delivering its value"
    assert result.first_failure is result.failures[0]
    assert result.failures[1].collateral


@each_method
@pytest.mark.parametrize("code", [0, None])
async def test_a_clean_exit_is_none(method: Method, code: int | None) -> None:
    async with ranks(method, functions.act, ("exits", code), ("returns", 1)) as ctx:
        result = await finish(ctx)
    assert not result.is_failed()
    assert result.return_values == {0: None, 1: 1}


@each_method
async def test_a_value_is_kept_beside_a_later_death(method: Method) -> None:
    async with ranks(method, functions.value_then_death, ()) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: -signal.SIGKILL}
    assert result.return_values == {0: "kept"}
    assert result.first_failure is result.failures[0]


@each_method
async def test_all_of_them_in_one_run(method: Method) -> None:
    acts = [("os._exit", 0), ("exits", 0), ("is killed", signal.SIGKILL), ("returns", "fine")]
    async with asyncio.timeout(PATIENCE), ranks(method, functions.act, *acts, failure_grace=PATIENCE) as ctx:
        result = await finish(ctx)
    assert result.exitcodes == {0: 0, 1: 0, 2: -signal.SIGKILL, 3: 0}
    assert result.return_values == {1: None, 3: "fine"}
    assert set(result.failures) == {0, 2}
    assert not any(failure.collateral for failure in result.failures.values())


async def test_sixty_four_without_an_answer() -> None:
    acts = [("os._exit", 0)] * 64
    async with asyncio.timeout(PATIENCE), ranks("fork", functions.act, *acts, failure_grace=PATIENCE) as ctx:
        result = await finish(ctx)
    assert set(result.failures) == set(range(64))
    assert result.return_values == {}


async def test_exit_0_of_a_program_is_a_success() -> None:
    async with ranks("program", functions.act, ("os._exit", 0), ("exits", 0)) as ctx:
        result = await finish(ctx)
    assert not result.is_failed()
