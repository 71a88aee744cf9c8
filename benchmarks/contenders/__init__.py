"""Who is compared: small modules with the same few functions, and how they are called in the tables.

A module has ``gang(job)``, which runs programs (see ``benchmarks.contenders.job``), ``function_ranks(...)``, or both.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contender:
    """One column of the tables.

    ``module`` is below this package; ``loop`` is what it runs on; ``period`` is how often it looks, in seconds, where
    it polls: releases of ranks are spread over it.
    """

    name: str
    module: str
    loop: str = "asyncio"
    period: float = 0.1

    def load(self) -> Any:
        """The module."""
        return import_module(f"benchmarks.contenders.{self.module}")

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """``asyncio.run`` on this contender's kind of loop."""
        if self.loop == "asyncio":
            return asyncio.run(main)
        import uvloop

        result: T = uvloop.run(main)
        return result


AELASTIC = Contender("aelastic", "aelastic_")
AELASTIC_UVLOOP = Contender("aelastic, uvloop", "aelastic_", "uvloop")
AELASTIC_MARKER = Contender("aelastic, marker", "aelastic_marker")
AELASTIC_GROUP = Contender("aelastic, group", "aelastic_group")
ASYNCIO = Contender("asyncio", "asyncio_")
ASYNCIO_UVLOOP = Contender("asyncio, uvloop", "asyncio_", "uvloop")
TORCH = Contender("torch", "torch_elastic", period=1.0)
TORCH_10MS = Contender("torch, period 0.01", "torch_10ms")
TORCH_UVLOOP = Contender("torch in a thread, uvloop", "torch_elastic", "uvloop", period=1.0)
TORCH_THREAD = Contender("torch in a thread", "torch_elastic", period=1.0)
POSIX_SPAWN = Contender("posix_spawn", "posix_spawn_")
CAT = Contender("cat > file", "cat_")
MULTIPROCESSING = Contender("multiprocessing", "multiprocessing_")
SIMPERVISOR = Contender("simpervisor", "simpervisor_")
SUPERVICE = Contender("supervice", "supervice_")
AELASTIC_RUN = Contender("aelastic run", "commands")
TORCHRUN = Contender("torchrun", "commands")
HONCHO = Contender("honcho", "commands")
