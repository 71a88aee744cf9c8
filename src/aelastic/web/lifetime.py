"""Ranks that live as long as the application that serves requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from aelastic.conduct.context import PContext
from aelastic.elastic.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Factory: TypeAlias = Callable[[], AbstractAsyncContextManager[PContext | Supervisor]]


class Lifespan:
    """A lifespan for Starlette and FastAPI, see ``lifespan``. A dashboard takes it as a source."""

    def __init__(self, factory: Factory, name: str) -> None:
        self.name = name
        self.ranks: PContext | Supervisor | None = None  # the last that were started
        self._factory = factory

    @asynccontextmanager
    async def __call__(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """Start the ranks, and stop them when the application is done."""
        async with self._factory() as self.ranks:
            setattr(app.state, self.name, self.ranks)
            yield {self.name: self.ranks}


def lifespan(
    factory: Callable[[], AbstractAsyncContextManager[PContext]] | Callable[[], Supervisor], name: str = "ranks"
) -> Lifespan:
    """Ranks that start before the first request is served, and are stopped by the ladder when the application ends::

        workers = aelastic.web.lifespan(lambda: aelastic.start_processes(...))
        app = FastAPI(lifespan=workers)

    ``factory`` gives ``start_processes(...)`` or a ``Supervisor``, new ones each time; ``app.state.<name>`` and, in
    requests, ``request.state.<name>`` have what it started. A start that fails is the application's, too. Inside a
    lifespan of one's own: ``async with workers(app) as state:``.

    A server ends the lifespan when the last response is complete: see ``until_disconnect`` about long ones.
    """
    return Lifespan(factory, name)
