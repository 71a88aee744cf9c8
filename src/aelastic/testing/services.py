"""Services that tests share: each on a loop of its own, whatever loops the tests have."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from aelastic.conduct.blocking import BlockingContext
from aelastic.conduct.context import MultiprocessContext, SubprocessContext
from aelastic.testing.tending import Tending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self


class Services(Tending[BlockingContext]):
    """Starts ranks that outlive a test, and stops them all at its end. The fixture ``services`` is one of these.

    As a context manager it serves in a fixture of any scope. Its calls block, and need no loop: a test of any plugin
    can use them, and so can one without. Each service is supervised by a thread with a loop of its own, since a loop
    of a test stands still between tests, and nobody would read what the service writes. Defaults are as for ``Ranks``.
    """

    def start(
        self,
        name: str,
        entrypoint: str | Callable[..., Any],
        args: Mapping[int, Sequence[Any]],
        envs: Mapping[int, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> BlockingContext:
        """Start ranks as ``aelastic.start_processes`` does, and wait until they are ready.

        Raises what that and ``PContext.ready`` raise.
        """
        made = self._with_defaults(name, args, envs, options)
        kind: Any = MultiprocessContext if callable(entrypoint) else SubprocessContext
        service = BlockingContext(kind(entrypoint=entrypoint, **made)).start()
        self._tended.append(service)
        service.ready()
        return service

    def close(self) -> list[str]:
        """Stop every service, the last one first, and let the ports go; what still runs then."""
        with contextlib.ExitStack() as closing:
            closing.callback(self._ports.close)
            for service in self._tended:
                closing.callback(service.close)
        return self._leftovers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if left := self.close():
            raise AssertionError("left behind: " + "; ".join(left))
