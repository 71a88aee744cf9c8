"""The events of a run as JSON lines on standard output."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from aelastic.cli.settings import Settings
    from aelastic.cli.views import Ranks
    from aelastic.std import Std

logger = logging.getLogger("aelastic")


class JsonView:
    """Standard output has one JSON object per line and event; whatever else writes to it goes to standard error."""

    def __init__(self, settings: Settings) -> None:
        self._tee = settings.tee
        self._output = -1  # a descriptor, once it is known

    def tee(self, nproc: int) -> Std | Mapping[int, Std]:
        """As was asked for; it goes to standard error."""
        return self._tee

    def __enter__(self) -> Self:
        sys.stdout.flush()
        self._output = os.dup(1)
        os.dup2(2, 1)  # for the ranks as well, which inherit it
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        os.dup2(self._output, 1)
        os.close(self._output)

    async def follow(self, ranks: Ranks) -> None:
        """Write each event when it happens. A reader that has gone away is no reason to stop the ranks."""
        try:
            async for event in ranks.events():
                await asyncio.to_thread(self._write, json.dumps(event.to_dict(), ensure_ascii=False))
        except OSError as error:
            logger.warning("no more events are written (%s); the ranks go on", error.strerror)

    def _write(self, line: str) -> None:
        rest = f"{line}\n".encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._output, rest) :]
