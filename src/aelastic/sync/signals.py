"""What torch's contexts do about signals to the application, while they have ranks; and no longer."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from aelastic.conduct.signals import signals_to_handle
from aelastic.errors.base import SignalException

if TYPE_CHECKING:
    from types import FrameType

_TORCHS = "torch.distributed.elastic.multiprocessing.api"


class RaisesOnSignals:
    """While it is entered, a signal that would have ended this process raises ``SignalException`` in the main thread.

    Which, torch's variable ``TORCHELASTIC_SIGNALS_TO_HANDLE`` says. What the application handles itself is left to it,
    and so is Ctrl-C, which raises ``KeyboardInterrupt``; in another thread than the main one there is nothing to do.
    """

    def __init__(self) -> None:
        self._handlers: list[_Handler] = []

    def enter(self) -> None:
        """Handle from now on."""
        if threading.current_thread() is threading.main_thread():
            for number in filter(_would_end_us, signals_to_handle()):
                self._handlers.append(_Handler(number))
                self._handlers[-1].enter()  # from here on it may raise, and has to be known

    def leave(self) -> None:
        """Handle no longer."""
        self._handlers = [handler for handler in self._handlers if not handler.leave()]


class _Handler:
    """Several may be there for a signal, one for each context; whoever came first need not leave last."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number
        self._left = False
        self._pid = os.getpid()
        self._before: Any = signal.getsignal(number)

    def enter(self) -> None:
        """Handle from now on."""
        signal.signal(self._number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._left or os.getpid() != self._pid:  # it could not be taken back, or came along by a fork
            signal.signal(number, self._remaining())
            signal.raise_signal(number)
        else:
            raise _exception(signal.Signals(number))

    def leave(self) -> bool:
        """Whether it is gone; another thread than the main one cannot take it away."""
        self._left = True
        if threading.current_thread() is not threading.main_thread():
            return False
        now: object = signal.getsignal(self._number)
        if now is self:
            signal.signal(self._number, self._remaining())
        elif isinstance(now, _Handler):
            now._remaining()
        return True

    def _remaining(self) -> Any:
        """What handles the signal when this one does not. Who has left before is let go."""
        while isinstance(self._before, _Handler) and self._before._left:
            self._before = self._before._before
        return self._before


def _would_end_us(number: signal.Signals) -> bool:
    handler = signal.getsignal(number)
    return handler is signal.SIG_DFL or isinstance(handler, _Handler)


def _exception(number: signal.Signals) -> SignalException:
    """Also one of torch's, where that is loaded: its agent catches no other, and so learns which signal it was."""
    text = f"process {os.getpid()} got signal {number.name}"
    theirs: Any = getattr(sys.modules.get(_TORCHS), "SignalException", None)
    if theirs is None:
        return SignalException(text, number)

    class Both(SignalException, theirs):  # type: ignore[misc]
        def __init__(self) -> None:
            Exception.__init__(self, text)
            self.sigval = number

    return Both()
