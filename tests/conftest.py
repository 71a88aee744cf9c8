"""Every asynchronous test runs on each loop, and no test may leave anything behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.helpers.leaks import Belongings
from tests.without_pidfds.sitecustomize import PIDFDS
from tests.without_pidfds.sitecustomize import __file__ as hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_configure() -> None:
    """``AELASTIC_TEST_PIDFD=off`` runs the tests, and every Python that they start, as if there were no pidfds.

    They press Ctrl-C, which a shell lets its jobs in the background ignore, and all that these start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not PIDFDS:
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.path.dirname(hook), *inherited]))


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops to test on; ``AELASTIC_TEST_LOOPS`` narrows them down (a comma list).

    Of these, the first is enough for what is marked ``any_loop``: what takes long, and is the same on each.
    """
    wanted = os.environ.get("AELASTIC_TEST_LOOPS", ",".join(LOOPS)).split(",")
    if item.get_closest_marker("any_loop") is not None:
        wanted = wanted[:1]
    return {name: LOOPS[name] for name in wanted}


def pytest_addoption(parser: pytest.Parser) -> None:
    """What ``tests/chaos`` is to run; here, since options are known only of what pytest sees first."""
    group = parser.getgroup("chaos", "gangs drawn from a seed")
    group.addoption("--chaos-seed", type=int, help="the first scene; the next one has the next number")
    group.addoption("--chaos-gangs", type=int, help="how many gangs on each loop, at least")
    group.addoption("--chaos-seconds", type=float, help="how long on each loop")
    group.addoption("--chaos-murders", type=int, help="how often an application is killed on each loop")
    group.addoption("--chaos-concurrency", type=int, default=1, help="seeds that make up one scene")


@pytest.fixture(scope="session", autouse=True)
def uvloop_is_warm() -> None:
    """libuv opens a pipe for signals with its first loop and keeps it as long as the process lives."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def no_leaks(uvloop_is_warm: None, multiprocessing_is_warm: None) -> Iterator[None]:
    """Fail a test that leaves a process, a thread, a file descriptor or a signal handler behind."""
    before = Belongings.now()
    yield
    # Longer than a control group may take to end, in a thread that nobody waits for.
    left = before.left_behind(patience=10.0)
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session", autouse=True)
def multiprocessing_is_warm() -> None:
    """multiprocessing keeps its helpers and its heap of shared values as long as the process lives."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    multiprocessing.Value("i", 0)


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """That of most people: others may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)
