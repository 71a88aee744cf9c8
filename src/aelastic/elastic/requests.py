"""What somebody has asked a supervisor for, until it is the case."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aelastic.errors.base import AelasticError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Request:
    """``is_settled`` says whether it is the case, or raises why it will not be. ``replaces``: this unit, if it does."""

    answer: asyncio.Future[None]
    is_settled: Callable[[], bool]
    replaces: int | None = None


class Requests:
    """Answers each request once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: list[Request] = []
        self._unanswered: set[asyncio.Future[None]] = set()

    def promise(self) -> asyncio.Future[None]:
        """An answer that will come, even if what it is about is never noted."""
        answer: asyncio.Future[None] = self._loop.create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        return answer

    def note(self, request: Request) -> None:
        """From now on it may be settled."""
        self._open.append(request)

    def settle(self) -> None:
        """Answer what can be answered by now."""
        if self._loop.is_closed():
            return
        self._open = [one for one in self._open if not one.answer.done() and not _settle(one)]

    def fail_replacement(self, unit: int, error: AelasticError) -> None:
        """Whoever wants ``unit`` replaced will not have it."""
        for one in self._open:
            if one.replaces == unit:
                refuse(one.answer, copy(error))

    def end(self, error: AelasticError) -> None:
        """Nobody may wait for what will not come."""
        for answer in () if self._loop.is_closed() else tuple(self._unanswered):
            refuse(answer, copy(error))


def refuse(answer: asyncio.Future[None], error: Exception) -> None:
    """Answer with ``error``, to whoever still waits."""
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # whoever asked may be gone


def _settle(request: Request) -> bool:
    try:
        settled = request.is_settled()
    except AelasticError as error:
        refuse(request.answer, error)
        return True
    if settled:
        request.answer.set_result(None)
    return settled
