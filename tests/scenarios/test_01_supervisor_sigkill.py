"""1. The supervisor is killed: every rank and all that they have started are gone, whatever state they are in."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.apps import LOOPS, Application, has_ended
from tests.helpers.ranks import is_alive
from tests.scenarios.kinds import each_kind, in_full

if TYPE_CHECKING:
    from tests.scenarios.kinds import Kind

each_loop = pytest.mark.parametrize("loop", LOOPS)

PATIENCE = 5.0  # seconds; one is promised, and recorded is what it took


def families(app: Application) -> list[int]:
    """The pids that the application has said; all of them live."""
    pids = [int(word) for word in app.line("families").split()[1:]]
    assert all(map(is_alive, pids))
    return pids


def assert_all_gone(app: Application, pids: list[int], record: Any) -> None:
    """The processes, and whatever else belongs to the application."""
    killed = time.monotonic()
    assert all(has_ended(pid, PATIENCE) for pid in pids)
    record("seconds until all were gone", round(time.monotonic() - killed, 3))
    assert app.survivors(PATIENCE) == []


@each_kind
@each_loop
def test_the_supervisor_is_killed(loop: str, kind: Kind, record_property: Any) -> None:
    with Application("app_heads_families", loop, kind, 4) as app:
        pids = families(app)
        assert len(pids) == 12
        app.process.kill()
        assert_all_gone(app, pids, record_property)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGQUIT, signal.SIGHUP])
def test_the_supervisor_dies_of_another_signal(number: signal.Signals, record_property: Any) -> None:
    with Application("app_heads_families", "asyncio", "program", 4) as app:
        pids = families(app)
        app.process.send_signal(number)
        assert_all_gone(app, pids, record_property)


@each_loop
def test_the_supervisor_of_sixty_four_is_killed(loop: str, record_property: Any) -> None:
    with Application("app_heads_families", loop, "program", 64) as app:
        pids = families(app)
        assert len(pids) == 192
        app.process.kill()
        assert_all_gone(app, pids, record_property)


def test_the_supervisor_is_killed_with_its_whole_process_group(record_property: Any) -> None:
    """As a shell does it with a job, and a service manager with what it finds."""
    with Application("app_heads_families", "asyncio", "program", 4, own_session=True) as app:
        pids = families(app)
        os.killpg(app.process.pid, signal.SIGKILL)
        assert_all_gone(app, pids, record_property)


@pytest.mark.parametrize("how", ["is closing", "runs twice"])
@each_loop
def test_the_supervisor_is_killed_when_it(loop: str, how: str, record_property: Any) -> None:
    with Application("app_heads_families", loop, "program", 4, *how.split()) as app:
        pids = families_but_those_that_ended(app) if how == "is closing" else families(app)
        app.process.kill()
        assert_all_gone(app, pids, record_property)


def families_but_those_that_ended(app: Application) -> list[int]:
    """Two ranks are deaf to the request, and what is in other sessions was not asked."""
    return [pid for pid in map(int, app.line("families").split()[1:]) if is_alive(pid)]


@pytest.mark.parametrize(("loop", "kind"), [("asyncio", "program"), ("uvloop", "fork")])
def test_the_supervisor_is_killed_and_a_fork_of_it_lives_on(loop: str, kind: Kind, record_property: Any) -> None:
    """The fork has everything open that the supervisor had, and is none of our business."""
    with Application("app_heads_families", loop, kind, 4, "has", "forked") as app:
        fork, *pids = families(app)
        app.process.kill()
        killed = time.monotonic()
        assert all(has_ended(pid, PATIENCE) for pid in pids)
        record_property("seconds until all were gone", round(time.monotonic() - killed, 3))
        assert is_alive(fork)


@pytest.mark.parametrize("kind", ["program", "fork"])
def test_the_supervisor_becomes_another_program(kind: Kind) -> None:
    with Application("app_heads_families", "asyncio", kind, 4, "executes") as app:
        pids = [int(word) for word in app.line("families").split()[1:]]
        assert all(has_ended(pid, PATIENCE) for pid in pids)
        assert app.process.poll() is None


@each_kind
def test_the_supervisor_is_killed_while_it_starts_ranks(kind: Kind) -> None:
    chance = random.Random(kind)
    for _ in range(in_full(2, 200)):
        with Application("app_heads_families", "uvloop", kind, 16) as app:
            time.sleep(0.15 + chance.random() * 0.3)
            app.process.kill()
            app.process.wait()
            assert app.survivors(PATIENCE) == []
