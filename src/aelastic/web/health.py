"""For load balancers and orchestrators: is the service alive, and are its ranks ready?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.web.answers import json
from aelastic.web.operations import Operation
from aelastic.web.values import Health
from aelastic.web.views import snapshot_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from aelastic.web.sources import Named, Sources


class HealthChecks:
    """Of all ``sources``."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Both."""
        return (
            Operation("healthz", "GET", "/healthz", "Whether the service answers", self.alive, Health),
            Operation(
                "readyz",
                "GET",
                "/readyz",
                "Whether every rank runs and is ready",
                self.ready,
                Health,
                errors={503: "Not all do, or there is no run"},
                refusal=Health,
            ),
        )

    async def alive(self, request: Request) -> Response:
        """It is, if it can say so: the loop turns. Whether ranks run is no reason to restart the service."""
        return json(Health(ready=True))

    async def ready(self, request: Request) -> Response:
        """Whether there are ranks, and all run and are ready."""
        sources = self._sources.all()
        missing = [what for named in sources for what in _missing(named)] if sources else ["there is no run"]
        return json(Health(not missing, tuple(missing)), 503 if missing else 200)


def _missing(named: Named) -> Iterator[str]:
    seen = snapshot_of(named.watched)
    if not seen:
        yield f"{named.name} is {state_of(named.watched)}"
    for rank in seen.values():
        if not rank.ready:
            yield f"rank {rank.rank} of {named.name} is {rank.state.value}{', not ready' * (rank.exitcode is None)}"
