"""The events of a run as JSON lines on standard output."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any

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
                await asyncio.to_thread(self._write, encode(event))
        except OSError as error:
            logger.warning("no more events are written (%s); the ranks go on", error.strerror)

    def _write(self, line: str) -> None:
        rest = f"{line}\n".encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._output, rest) :]


def encode(event: object) -> str:
    """``event``, a dataclass, as one line: its fields, and as ``event`` its name, such as ``rank_exited``."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
    return json.dumps({"event": name, **_plain(event)}, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """``value`` in what JSON has. Keys become texts; an object of no known kind, its ``repr``."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value) if one.repr}
    if isinstance(value, Flag):
        return (value.name or str(value.value)).lower()
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)
