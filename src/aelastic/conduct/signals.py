"""Handing the application's own signals on to the ranks: only where somebody asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aelastic.errors.base import NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

logger = logging.getLogger("aelastic")

VARIABLE = "TORCHELASTIC_SIGNALS_TO_HANDLE"
DEFAULT = "SIGTERM,SIGINT,SIGHUP,SIGQUIT"


@dataclass(slots=True)
class Received:
    """The first signal that came to stop the ranks, None so far, and how many such came."""

    signal: signal.Signals | None = None
    count: int = 0


class TakesRequests(Protocol):
    """A ``PContext`` or a ``Supervisor``."""

    def request_stop(self, death_sig: int | None = None) -> None:
        """Walk the stop ladder, beginning with ``death_sig``."""

    def send_signal(self, sig: int) -> None:
        """Send ``sig`` to every rank. Raises ``NotRunningError`` before the start."""


@contextlib.contextmanager
def handle_signals(
    ctx: TakesRequests,
    signals: Iterable[signal.Signals] | None = None,
    *,
    forward: Iterable[signal.Signals] = (),
    at_the_third: Callable[[int], None] | None = None,
) -> Iterator[Received]:
    """While this is entered, a signal to the application stops the ranks of ``ctx``: the same signal, then the ladder.

    A second one skips the rest of the grace. What handled the signals before does so again afterwards. A signal that
    the application ignores (SIGHUP under nohup) stays ignored.

    Args:
        signals: which; None takes the names in ``TORCHELASTIC_SIGNALS_TO_HANDLE``, torch's variable and default.
        forward: signals that are sent on to the ranks and stop nothing; ``signals`` come first.
        at_the_third: called with the number of the third signal and of each one after it, in the signal handler,
            for an application that would rather leave than wait.

    Raises ``ValueError`` outside the main thread, where Python knows no signals. Enter it in a coroutine.
    """
    received = Received()
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        received.count += 1
        received.signal = received.signal or signal.Signals(number)
        if received.count > 2 and at_the_third is not None:
            at_the_third(number)
        loop.call_soon_threadsafe(ctx.request_stop, number if received.count == 1 else signal.SIGKILL)

    def send_on(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_send, ctx, number)

    stopping = signals_to_handle() if signals is None else list(signals)
    handlers = {**dict.fromkeys(forward, send_on), **dict.fromkeys(stopping, stop)}
    previous = {one: signal.getsignal(one) for one in handlers}
    try:
        for one, handler in handlers.items():
            if previous[one] is not signal.SIG_IGN:
                signal.signal(one, handler)
        yield received
    finally:
        for one, before in previous.items():
            if signal.getsignal(one) is handlers[one]:
                signal.signal(one, before)


def _send(ctx: TakesRequests, number: int) -> None:
    with contextlib.suppress(NotRunningError):  # there are no ranks yet
        ctx.send_signal(number)


def signals_to_handle() -> list[signal.Signals]:
    """The signals that torch's variable names, or its default."""
    found = []
    for name in filter(None, map(str.strip, os.environ.get(VARIABLE, DEFAULT).split(","))):
        try:
            found.append(signal.Signals[name])
        except KeyError:
            logger.warning("%s: there is no signal %r here", VARIABLE, name)
    return found
