"""What is looked at: runs and supervisors by name, as they come and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from starlette.exceptions import HTTPException

from aelastic.conduct.context import PContext
from aelastic.elastic.supervisor import Supervisor
from aelastic.errors.base import InvalidArgumentError
from aelastic.web.lifetime import Lifespan

Watched: TypeAlias = PContext | Supervisor
Source: TypeAlias = Watched | Lifespan | Callable[[], Watched | None]

logger = logging.getLogger("aelastic.web")

ONLY = "ranks"  # the name of a source that has no siblings


@dataclass(frozen=True, slots=True)
class Named:
    """A source under its name; ``watched`` is None while there is none."""

    name: str
    watched: Watched | None


class Sources:
    """One source, or a mapping of several, which may be changed at any time."""

    def __init__(self, given: Source | Mapping[str, Source]) -> None:
        if not isinstance(given, Mapping):
            given = {ONLY: given}
        for name, source in given.items():
            _check(name, source)
        self._given: Mapping[str, Source] = given

    def all(self) -> list[Named]:
        """Those that are there now."""
        return [_named(name, source) for name, source in list(self._given.items())]

    def get(self, name: str) -> Named | None:
        """The one of that name."""
        return _named(name, self._given[name]) if name in self._given else None


def _check(name: str, source: Source) -> None:
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name:  # it is a part of addresses
        raise InvalidArgumentError(f"source: expected a name without a slash, and not only of dots, got {name!r}")
    if not isinstance(source, PContext | Supervisor | Lifespan) and not callable(source):
        raise InvalidArgumentError(
            f"source {name!r}: expected what start_processes gives, a Supervisor, or a function that returns one, "
            f"got {type(source).__name__}"
        )


def _named(name: str, source: Source) -> Named:
    watched = _watched(source)
    if watched is not None and _lives_elsewhere(watched):
        problem = f"{name!r} was started in another loop than this one, which serves the dashboard: let one do both"
        logger.error(problem)
        raise HTTPException(500, problem)
    return Named(name, watched)


def _watched(source: Source) -> Watched | None:
    if isinstance(source, Lifespan):
        return source.ranks
    return source if isinstance(source, PContext | Supervisor) else source()


def _lives_elsewhere(watched: Watched) -> bool:
    """Whether it goes on in another loop than this one. What is over does not change, and may be looked at anywhere."""
    owner = watched._run if isinstance(watched, PContext) else watched._conductor
    return owner is not None and not watched.done and owner.loop is not asyncio.get_running_loop()
