"""Any mix of endings gives the right result and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aelastic
from tests.helpers import functions

if TYPE_CHECKING:
    from aelastic.conduct.functions import StartMethod

ENDINGS = st.one_of(
    st.tuples(st.just("returns"), st.integers() | st.text() | st.binary(max_size=200_000)),
    st.tuples(st.just("raises"), st.text(max_size=20)),
    st.tuples(st.just("exits"), st.integers(0, 255)),
    st.tuples(st.just("os._exit"), st.integers(0, 255)),
    st.tuples(st.just("is killed"), st.sampled_from([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])),
    st.tuples(st.just("hangs"), st.none()),
)


def expected_exitcode(vice: str, value: Any) -> int:
    codes = {"returns": 0, "raises": 1, "is killed": -value if isinstance(value, int) else 0}
    return int(codes.get(vice, value))


def is_success(vice: str, value: Any) -> bool:
    return vice == "returns" or (vice == "exits" and value == 0)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(endings=st.lists(ENDINGS, min_size=1, max_size=8))
def test_any_mix_of_endings(method: StartMethod, endings: list[tuple[str, Any]]) -> None:
    asyncio.run(check(method, endings))


async def check(method: StartMethod, endings: list[tuple[str, Any]]) -> None:
    hang = [rank for rank, (vice, _) in enumerate(endings) if vice == "hangs"]
    envs: dict[int, dict[str, str]] = {rank: {} for rank in range(len(endings))}
    async with aelastic.start_processes(
        "f", functions.act, dict(enumerate(endings)), envs, start_method=method, failure_grace=0 if hang else 30
    ) as ctx:
        if len(hang) == len(endings):
            await ctx.close()
        result = await ctx.wait(0 if all(is_success(*one) for one in endings if one[0] != "hangs") and hang else 30)
        if result is None:  # the others succeed and these hang: nobody ends the run but us
            await ctx.close()
            result = await ctx.wait()
    assert result is not None
    for rank, failure in result.failures.items():
        assert failure.collateral or not is_success(*endings[rank])
    if not hang:
        assert result.exitcodes == {rank: expected_exitcode(*one) for rank, one in enumerate(endings)}
        assert result.failures.keys() == {rank for rank, one in enumerate(endings) if not is_success(*one)}
        values = {rank: one[1] for rank, one in enumerate(endings) if one[0] == "returns"}
        assert {rank: value for rank, value in result.return_values.items() if rank in values} == values
    for rank in set(hang) & set(result.exitcodes):  # those that had been started when another one failed
        assert result.failures[rank].collateral
