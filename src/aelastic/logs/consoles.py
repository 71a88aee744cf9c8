"""The consoles of this process, for whoever writes to them at the same time."""

from __future__ import annotations

import sys

from aelastic.logs.console import Console
from aelastic.logs.destinations import destination_of, lead_to_the_same
from aelastic.std import Std


class Consoles:
    """Standard output and standard error, made when first asked for; one console where both lead to the same.

    Runs that are there at the same time must share them: a console keeps its lines whole only among its own streams.
    """

    def __init__(self) -> None:
        self._consoles: dict[Std, Console] = {}

    def get(self, std: Std) -> Console:
        """The console for ``std``."""
        if std not in self._consoles:
            other = self._consoles.get(Std.ALL & ~std)
            if other is not None and lead_to_the_same(sys.stdout, sys.stderr):
                self._consoles[std] = other
            else:
                self._consoles[std] = Console(destination_of(sys.stdout if std is Std.OUT else sys.stderr))
        return self._consoles[std]

    async def close(self, patience: float) -> None:
        """Show what is queued. A stuck console gets ``patience`` seconds to move."""
        for console in set(self._consoles.values()):
            await console.close(patience)
