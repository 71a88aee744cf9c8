"""Ranks in the loop of a test."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from aelastic.conduct.context import PContext
from aelastic.conduct.launch import start_processes
from aelastic.elastic.supervisor import Supervisor
from aelastic.testing import faults
from aelastic.testing.tending import Tending

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from aelastic.events import LogLine

_Tended: TypeAlias = PContext | Supervisor

_A_MOMENT = 0.1  # seconds for what the ranks have written to be read
_LAST_WORDS = 2.0  # the same, and for the others to be stopped, when a rank has failed


class Ranks(Tending[_Tended]):
    """Starts ranks for a test, and stops them all at its end. The fixture ``ranks`` is one of these.

    What it starts lives in the loop that it is called in, and is what ``aelastic`` gives: a ``PContext``, a
    ``Supervisor``. Different from there: the output goes to files below pytest's ``tmp_path``, ``envs`` may be left
    out, ``shutdown_timeout`` is 5 s, and who has a ``readiness`` is waited for, at most 60 s (``ready_timeout``).
    """

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self._loops: list[asyncio.AbstractEventLoop] = []

    async def start(
        self,
        name: str,
        entrypoint: str | Callable[..., Any],
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> PContext:
        """Start ranks as ``aelastic.start_processes`` does, and wait until they are ready.

        Raises what that and ``PContext.ready`` raise.
        """
        made = self._with_defaults(name, args, envs, options)
        ctx: PContext = await start_processes(entrypoint=entrypoint, **made)
        self._tend(ctx)
        await ctx.ready()
        return ctx

    async def supervise(
        self,
        name: str,
        entrypoint: str | Callable[..., Any],
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> Supervisor:
        """Start ranks that are started again when they end, as ``aelastic.Supervisor`` does. Raises what that raises.

        Whether they are ready, ``snapshot()`` and ``events()`` tell.
        """
        sup = await Supervisor(entrypoint=entrypoint, **self._with_defaults(name, args, envs, options)).start()
        self._tend(sup)
        return sup

    async def line(self, ctx: _Tended, text: str | re.Pattern[str], rank: int | None = None) -> LogLine:
        """Wait for a line; see ``aelastic.testing.line_of``."""
        return await faults.line_of(ctx, text, rank)

    async def kill(self, ctx: _Tended, rank: int, after: str | re.Pattern[str] | None = None) -> None:
        """Kill a rank; see ``aelastic.testing.kill``."""
        await faults.kill(ctx, rank, after)

    async def freeze(self, ctx: _Tended, rank: int, after: str | re.Pattern[str] | None = None) -> None:
        """Stop a rank where it is; see ``aelastic.testing.freeze``."""
        await faults.freeze(ctx, rank, after)

    async def resume(self, ctx: _Tended, rank: int) -> None:
        """Let a rank go on; see ``aelastic.testing.resume``."""
        await faults.resume(ctx, rank)

    def report(self) -> str:
        """As it is after a moment: for ranks that fail, the time to say why."""
        for loop in set(self._loops):
            if not loop.is_closed() and not loop.is_running() and asyncio._get_running_loop() is None:
                loop.run_until_complete(_each(self._of(loop), _watch))
        return super().report()

    def close(self) -> list[str]:
        """Stop every rank, by the ladder, and let the ports go; what still runs then. Blocks; not for a coroutine.

        The loops of the ranks may run in other threads, stand still, or be closed: one that ``asyncio.run`` or a
        ``Runner`` has closed has stopped its ranks before.
        """
        for loop in set(self._loops):
            if loop is asyncio._get_running_loop():
                raise RuntimeError("close() blocks, and the loop of the ranks would wait for itself: await ctx.close()")
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_each(self._of(loop), _close), loop).result()
            elif not loop.is_closed():
                loop.run_until_complete(_each(self._of(loop), _close))
        self._ports.close()
        return self._leftovers()

    def _tend(self, one: _Tended) -> None:
        self._tended.append(one)
        self._loops.append(asyncio.get_running_loop())

    def _of(self, loop: asyncio.AbstractEventLoop) -> list[_Tended]:
        return [one for one, its in zip(self._tended, self._loops, strict=True) if its is loop]


async def _each(ranks: list[_Tended], do: Callable[[_Tended], Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*map(do, ranks))


async def _close(one: _Tended) -> None:
    await one.close()


async def _watch(one: _Tended) -> None:
    has_failed = any(seen.exitcode for seen in one.snapshot().values())
    await one.wait(_LAST_WORDS if has_failed else _A_MOMENT)
