"""Torch's ``PContext``, with torch's calls."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from aelastic.conduct import context as asynchronous
from aelastic.conduct.blocking import BlockingContext
from aelastic.sync.signals import RaisesOnSignals

if TYPE_CHECKING:
    from aelastic.results import RunProcsResult


class PContext(BlockingContext):
    """A group of ranks that run together and end together, for callers without a loop.

    ``with`` starts it, unless it was started, and at the end of the block stops what still runs; ``start``, ``wait``
    and ``close`` do the same by hand. Besides torch's calls it has those of ``aelastic.PContext``. The ranks are
    supervised by a thread, so nothing has to be called for it, and an exit is noticed at once.

    While there are ranks, a signal that would have ended this process raises ``SignalException`` in the main thread
    (torch's variable ``TORCHELASTIC_SIGNALS_TO_HANDLE`` says which), if the context was started there. Signals that
    the application handles are its own, and Ctrl-C is ``KeyboardInterrupt``. What was changed is put back at the end.
    Whatever interrupts ``start`` or ``wait`` stops the ranks first, a second one kills them, a third does not wait.
    """

    def __init__(self, context: asynchronous.PContext) -> None:
        super().__init__(context)
        self._signals = RaisesOnSignals()

    def wait(self, timeout: float | None = -1, period: float = 1) -> RunProcsResult | None:
        """Wait until every rank has ended and its output is written; the result.

        ``timeout`` is in seconds: None or negative waits until then, 0 asks once. When it is over before the ranks
        are, the answer is None and they go on. ``period`` is torch's, and has no meaning: an exit is an event.
        """
        result = super().wait(timeout)
        if result is not None:
            self._signals.leave()
        return result

    def _open_portal(self) -> bool:
        opened = super()._open_portal()
        if opened:
            weakref.finalize(self, self._signals.leave)
            with ExitStack() as undo:
                undo.callback(self._close_portal)
                self._signals.enter()  # raises what has come already
                undo.pop_all()
        return opened

    def _close_portal(self) -> None:
        self._signals.leave()
        super()._close_portal()


class SubprocessContext(PContext):
    """Ranks that run a program. The arguments are those of ``aelastic.SubprocessContext``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(asynchronous.SubprocessContext(*args, **options))


class MultiprocessContext(PContext):
    """Ranks that run a Python function. The arguments are those of ``aelastic.MultiprocessContext``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(asynchronous.MultiprocessContext(*args, **options))
