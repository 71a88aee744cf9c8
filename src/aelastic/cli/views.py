"""How a run is shown: plainly, as a live table, or as JSON lines."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from aelastic.cli.settings import Settings
    from aelastic.conduct.context import PContext
    from aelastic.elastic.supervisor import Supervisor
    from aelastic.std import Std

Ranks: TypeAlias = "PContext | Supervisor"


class View(Protocol):
    """Has standard output to itself while it is entered; that is before the ranks are started, until they are gone."""

    def tee(self, nproc: int) -> Std | Mapping[int, Std]:
        """The streams to be teed."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def follow(self, ranks: Ranks) -> None:
        """Show what happens to the ranks, until they are gone."""


class PlainView:
    """What the ranks write, as it comes."""

    def __init__(self, settings: Settings) -> None:
        self._tee = settings.tee

    def tee(self, nproc: int) -> Std | Mapping[int, Std]:
        """As was asked for."""
        return self._tee

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing was changed."""

    async def follow(self, ranks: Ranks) -> None:
        """There is nothing to be added."""


def choose_view(settings: Settings) -> View:
    """JSON if asked for; the table on a terminal that can show it, where rich is installed; else plain."""
    if settings.json:
        from aelastic.cli.jsonlines import JsonView

        return JsonView(settings)
    if settings.plain or settings.log_dir == os.devnull or not _is_terminal() or find_spec("rich") is None:
        return PlainView(settings)
    from aelastic.cli.live import LiveView

    return LiveView(settings)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
