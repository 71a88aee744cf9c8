"""aelastic."""

from __future__ import annotations

import asyncio

from aelastic import start_processes
from benchmarks.contenders.trivial import work


def function_ranks(nprocs: int) -> dict[int, object]:
    """Run a trivial function on fresh interpreters; its values."""

    async def main() -> dict[int, object]:
        ranks = range(nprocs)
        async with start_processes("f", work, {r: (r,) for r in ranks}, {r: {} for r in ranks}) as ctx:
            result = await ctx.wait()
        assert result is not None
        return result.return_values

    return asyncio.run(main())
