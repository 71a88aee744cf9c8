"""Events on their way into a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from aelastic.events import GaveUp, RankExited, RankRestarting, RunFinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from aelastic.events import Event


class StructuredLogger(Protocol):
    """A logger that takes values by name, such as structlog's."""

    def log(self, level: int, event: str, **values: Any) -> Any:
        """Log ``event`` with ``values``."""


AnyLogger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any] | StructuredLogger"


def log_event(event: Event, logger: AnyLogger, level: int | None = None) -> None:
    """Log one event: its sentence as the message, its mapping beside it.

    A logger of the standard library gets the mapping as the attribute ``aelastic`` of the record, another one as named
    values (``kind`` is what the mapping calls ``event``). ``level`` None: a restart and a failed rank are warnings,
    giving up is an error, and the rest is information.
    """
    level = _level(event) if level is None else level
    if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
        values = event.to_dict()
        logger.log(level, str(event), kind=values.pop("event"), **values)
    elif logger.isEnabledFor(level):
        logger.log(level, "%s", event, extra={"aelastic": event.to_dict()})


async def log_events(events: AsyncIterable[Event], logger: AnyLogger | None = None) -> None:
    """Log all ``events``, of a ``PContext`` or a ``Supervisor``, until the run is finished. For a task of its own.

    ``logger`` is the standard library's or one like structlog's; None is the logger ``"aelastic.events"``.
    See ``log_event``.
    """
    chosen = logging.getLogger("aelastic.events") if logger is None else logger
    async for event in events:
        log_event(event, chosen)


def _level(event: Event) -> int:
    if isinstance(event, GaveUp):
        return logging.ERROR
    failed = isinstance(event, RankExited) and event.exitcode != 0 and not event.collateral
    failed = failed or (isinstance(event, RunFinished) and event.result.is_failed())
    return logging.WARNING if failed or isinstance(event, RankRestarting) else logging.INFO
