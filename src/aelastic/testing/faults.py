"""What may happen to a rank, made to happen at a line of its output."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING, Protocol

from anyio.to_thread import run_sync

from aelastic.events import RankExited
from aelastic.process.blocking import wait_until_stopped

if TYPE_CHECKING:
    from aelastic.events import Event, LogLine, RankSnapshot
    from aelastic.logs.subscription import Subscription

_LONGEST_STOP, _LONGEST_EXEC = 0.5, 0.02  # seconds


class Observed(Protocol):
    """A ``PContext`` or a ``Supervisor``."""

    name: str

    def logs(self, rank: int | None = None) -> Subscription[LogLine]:
        """Its lines."""

    def events(self) -> Subscription[Event]:
        """What happens to it."""

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""

    def send_signal(self, sig: int, rank: int | None = None) -> None:
        """Send ``sig`` to ``rank`` and what it has started."""


async def line_of(ctx: Observed, text: str | re.Pattern[str], rank: int | None = None) -> LogLine:
    """Wait for a captured line of ``rank``, or of any, that contains ``text`` (a pattern: matches somewhere).

    Lines that are still remembered count (the last 16 KiB of each stream). Raises ``AssertionError`` when the run
    ends without one.
    """
    pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
    lines = ctx.logs(rank)
    try:
        async for line in lines:
            if pattern.search(line.text):
                return line
    finally:
        lines.close()
    raise AssertionError(f"{ctx.name!r} ended without a line with {pattern.pattern!r}")


async def kill(ctx: Observed, rank: int, after: str | re.Pattern[str] | None = None) -> None:
    """SIGKILL to ``rank`` and what it has started, once it has written ``after``. Returns when it is gone."""
    pid = await _living(ctx, rank, after)
    events = ctx.events()
    try:
        ctx.send_signal(signal.SIGKILL, rank)
        async for event in events:
            if isinstance(event, RankExited) and (event.rank, event.pid) == (rank, pid):
                return
    finally:
        events.close()


async def freeze(ctx: Observed, rank: int, after: str | re.Pattern[str] | None = None) -> None:
    """Stop ``rank`` and what it has started (SIGSTOP), once it has written ``after``. Returns when it stands still.

    ``resume`` lets it go on. A rank that is told to end goes on by itself, so nothing is left frozen.
    """
    pid = await _living(ctx, rank, after)
    ctx.send_signal(signal.SIGSTOP, rank)
    stopped = asyncio.ensure_future(run_sync(wait_until_stopped, pid, abandon_on_cancel=True))
    try:
        while not (await asyncio.wait({stopped}, timeout=_LONGEST_STOP))[0]:
            # It waits in a vfork for a child that was stopped before its exec: let that go on, and try again.
            ctx.send_signal(signal.SIGCONT, rank)
            await asyncio.sleep(_LONGEST_EXEC)
            ctx.send_signal(signal.SIGSTOP, rank)
    finally:
        stopped.cancel()


async def resume(ctx: Observed, rank: int) -> None:
    """Let ``rank`` go on (SIGCONT)."""
    await _living(ctx, rank, None)
    ctx.send_signal(signal.SIGCONT, rank)


async def _living(ctx: Observed, rank: int, after: str | re.Pattern[str] | None) -> int:
    """The pid of ``rank``, once it has written ``after``."""
    if after is not None:
        await line_of(ctx, after, rank)
    seen = ctx.snapshot()[rank]
    if seen.pid is None or seen.ended_at is not None:
        raise AssertionError(f"{ctx.name!r}: rank {rank} does not run; it is {seen.state.value}")
    return seen.pid
