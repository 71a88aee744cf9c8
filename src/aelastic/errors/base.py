"""The errors of aelastic.

AelasticError
├── InvalidRanksError       (RuntimeError)  a mapping does not hold exactly the ranks 0..n-1
├── InvalidArgumentError    (ValueError)    an argument of one rank cannot be used
├── NotRunningError         (RuntimeError)  the context is not in the state that the call needs
├── NotReadyError           (RuntimeError)  a rank ended before it was ready; carries its last lines
└── ChildFailedError                        ranks failed; carries their failures

SignalException stands apart, as in torch: it tells the main program that it was asked to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal


class AelasticError(Exception):
    """Root of the errors that aelastic raises itself."""


class InvalidRanksError(AelasticError, RuntimeError):
    """A mapping by local rank has gaps or strangers. A ``RuntimeError``, as in torch."""


class InvalidArgumentError(AelasticError, ValueError):
    """An argument cannot be used; the message names it, and the rank where there is one."""


class NotRunningError(AelasticError, RuntimeError):
    """The context was not started, or was closed while it started."""


class SignalException(Exception):
    """The supervising program got a signal. ``sigval`` is the signal."""

    def __init__(self, msg: str, sigval: signal.Signals) -> None:
        super().__init__(msg)
        self.sigval = sigval
