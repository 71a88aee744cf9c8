"""Handing the application's own signals on to the ranks: only where somebody asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

logger = logging.getLogger("aelastic")

VARIABLE = "TORCHELASTIC_SIGNALS_TO_HANDLE"
DEFAULT = "SIGTERM,SIGINT,SIGHUP,SIGQUIT"


@dataclass(slots=True)
class Received:
    """The first signal that came, None so far."""

    signal: signal.Signals | None = None


class TakesRequests(Protocol):
    """A ``PContext`` or a ``Supervisor``."""

    def request_stop(self, death_sig: int | None = None) -> None:
        """Walk the stop ladder, beginning with ``death_sig``."""


@contextlib.contextmanager
def handle_signals(ctx: TakesRequests, signals: Iterable[signal.Signals] | None = None) -> Iterator[Received]:
    """While this is entered, a signal to the application stops the ranks of ``ctx``: the same signal, then the ladder.

    A second one skips the rest of the grace. What handled the signals before does so again afterwards. A signal that
    the application ignores (SIGHUP under nohup) stays ignored.

    Args:
        signals: which; None takes the names in ``TORCHELASTIC_SIGNALS_TO_HANDLE``, torch's variable and default.

    Raises ``ValueError`` outside the main thread, where Python knows no signals. Enter it in a coroutine.
    """
    received = Received()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        ctx.request_stop(number if received.signal is None else signal.SIGKILL)
        received.signal = received.signal or signal.Signals(number)

    def handler(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop, number)

    wanted = _named_signals(os.environ.get(VARIABLE, DEFAULT)) if signals is None else list(signals)
    previous = {one: signal.getsignal(one) for one in wanted}
    try:
        for one in wanted:
            if previous[one] is not signal.SIG_IGN:
                signal.signal(one, handler)
        yield received
    finally:
        for one, before in previous.items():
            if signal.getsignal(one) is handler:
                signal.signal(one, before)


def _named_signals(names: str) -> list[signal.Signals]:
    found = []
    for name in filter(None, map(str.strip, names.split(","))):
        try:
            found.append(signal.Signals[name])
        except KeyError:
            logger.warning("%s: there is no signal %r here", VARIABLE, name)
    return found
