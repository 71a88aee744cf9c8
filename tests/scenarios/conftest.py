"""What must hold after every scenario: no process that the run brought forth, a loop that turned, no task left."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.helpers.apps import describe, marked
from tests.helpers.logs import Heartbeat
from tests.live.conftest import no_tasks_left as no_tasks_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MARK = "AELASTIC_TEST_SCENARIO"

stalls: dict[str, float] = {}


@pytest.fixture(autouse=True)
def no_survivors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which anything still runs that it started, wherever that has gone."""
    mark = secrets.token_hex(8)
    monkeypatch.setenv(MARK, mark)
    yield
    deadline = time.monotonic() + 3.0
    while (left := marked(MARK, mark)) and time.monotonic() < deadline:
        time.sleep(0.005)
    survivors = [describe(pid) for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert survivors == []


@pytest_asyncio.fixture(autouse=True)
async def steady_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Take down how long the loop stood still; told at the end, since busy machines make it stand, too."""
    if request.node.get_closest_marker("asyncio") is None:
        yield
        return
    with Heartbeat() as heart:
        yield
    if request.node.get_closest_marker("holds_the_loop") is None:
        stalls[request.node.name] = heart.longest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long the loop stood still at worst."""
    if stalls:
        worst = sorted(stalls, key=lambda name: stalls[name], reverse=True)[:3]
        told = ", ".join(f"{stalls[name] * 1000:.0f} ms in {name}" for name in worst)
        terminalreporter.write_line(f"longest stalls of the loop: {told}")
