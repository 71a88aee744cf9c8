"""Failures of ranks, and how a rank reports its own: ``from aelastic.errors import record`` is cheap to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from aelastic.errors.base import (
        AelasticError,
        InvalidArgumentError,
        InvalidRanksError,
        NotRunningError,
        SignalException,
    )
    from aelastic.errors.child_failed import ChildFailedError
    from aelastic.errors.failure import ProcessFailure
    from aelastic.errors.handler import ErrorHandler, get_error_handler, record
    from aelastic.errors.not_ready import NotReadyError

__all__ = [
    "AelasticError",
    "ChildFailedError",
    "ErrorHandler",
    "InvalidArgumentError",
    "InvalidRanksError",
    "NotReadyError",
    "NotRunningError",
    "ProcessFailure",
    "SignalException",
    "get_error_handler",
    "record",
]

if not TYPE_CHECKING:  # to a type checker, a name that is not in the list above is an error
    __getattr__ = lazily(
        __name__,
        {
            "aelastic.errors.base": (
                "AelasticError",
                "InvalidArgumentError",
                "InvalidRanksError",
                "NotRunningError",
                "SignalException",
            ),
            "aelastic.errors.child_failed": ("ChildFailedError",),
            "aelastic.errors.failure": ("ProcessFailure",),
            "aelastic.errors.handler": ("ErrorHandler", "get_error_handler", "record"),
            "aelastic.errors.not_ready": ("NotReadyError",),
        },
    )
