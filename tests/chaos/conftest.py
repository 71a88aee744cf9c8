"""What to run: by default a few seconds on each loop, always the same gangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.session import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEED = 20_000
_SECONDS = 4.0
_LIMIT = 120.0  # seconds beyond those that were asked for


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    """What the command line says."""
    gangs, seconds = request.config.getoption("chaos_gangs"), request.config.getoption("chaos_seconds")
    return Options(
        seed=request.config.getoption("chaos_seed") or _SEED,
        gangs=gangs,
        seconds=_SECONDS if gangs is None and seconds is None else seconds,
        concurrency=request.config.getoption("chaos_concurrency"),
    )


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """A long run has a long limit."""
    seconds, gangs, murders = (config.getoption(f"chaos_{name}") or 0.0 for name in ("seconds", "gangs", "murders"))
    longest = seconds + 3.0 * gangs + 20.0 * murders
    for item in items:
        if "options" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(longest + _LIMIT))
