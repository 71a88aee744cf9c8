"""Which processes the mark of a run is found in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from aelastic.process.marker import DETACH, MARKER, Look, Quarry, hunt, is_detached, mark
from tests.helpers.ranks import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def process() -> Iterator[Callable[[dict[str, str]], int]]:
    """Starts a process with exactly that environment, which says when its own program runs."""
    started = []

    def start(env: dict[str, str]) -> int:
        script = "import os, time; os.write(1, b'.'); time.sleep(600)"
        one = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], env=env, stdout=subprocess.PIPE)
        started.append(one)
        assert one.stdout is not None
        assert one.stdout.read(1) == b"."
        return one.pid

    yield start
    for one in started:
        one.kill()
        one.communicate()


INNER = mark("inner", 7, outer=mark("outer", 2, outer=""))


@pytest.mark.parametrize(
    ("env", "quarry", "expected"),
    [
        pytest.param({MARKER: mark("run", 3, "")}, Quarry("run"), Look(3), id="any rank"),
        pytest.param({MARKER: mark("run", 3, "")}, Quarry("run", 3), Look(3), id="this rank"),
        pytest.param({MARKER: mark("run", 31, "")}, Quarry("run", 3), Look(), id="a rank that begins alike"),
        pytest.param({MARKER: mark("other", 3, "")}, Quarry("run"), Look(), id="another run"),
        pytest.param({MARKER: mark("therun", 3, "")}, Quarry("run"), Look(), id="a run that ends alike"),
        pytest.param({MARKER: INNER}, Quarry("outer"), Look(2), id="a rank of a rank, for the outer run"),
        pytest.param({MARKER: INNER}, Quarry("inner", 7), Look(7), id="a rank of a rank, for the inner run"),
        pytest.param({"A": "1", MARKER: INNER, "B": "2"}, Quarry("outer", 2), Look(2), id="among others"),
        pytest.param({"OTHER": mark("run", 3, "")}, Quarry("run"), Look(), id="in another variable"),
        pytest.param(
            {"A": mark("run", 4, ""), MARKER: mark("run", 3, "")}, Quarry("run"), Look(3), id="in two variables"
        ),
        pytest.param({MARKER: ":run.x:"}, Quarry("run"), Look(), id="no number"),
        pytest.param({MARKER: f":run.{'9' * 5000}:"}, Quarry("run"), Look(), id="a number without end"),
        pytest.param({MARKER: ":run."}, Quarry("run"), Look(), id="cut off"),
        pytest.param({MARKER: mark("run", 3, ""), DETACH: "1"}, Quarry("run"), Look(3, detached=True), id="detached"),
        pytest.param({MARKER: mark("run", 3, ""), DETACH: "10"}, Quarry("run"), Look(3), id="not quite detached"),
        pytest.param({}, Quarry("run"), Look(), id="no environment"),
    ],
)
def test_a_look_at_a_process(
    env: dict[str, str], quarry: Quarry, expected: Look, process: Callable[[dict[str, str]], int]
) -> None:
    pid = process(env)
    assert quarry.look(pid) == expected
    assert is_detached(pid) is expected.detached


def test_what_is_gone_is_nobody() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert Quarry("run").look(gone.pid) == Look()


def test_a_hunt_kills_whom_it_is_for_and_nobody_else(process: Callable[[dict[str, str]], int]) -> None:
    run = f"hunted{os.getpid()}"
    prey, spared, given_up, stranger = (
        process({MARKER: mark(run, 0, "")}),
        process({MARKER: mark(run, 1, ""), DETACH: "1"}),
        process({MARKER: mark(run, 2, "")}),
        process({}),
    )
    hunted = hunt(Quarry(run), 5.0, time.monotonic, given_up={given_up})
    assert hunted.killed == {0: [prey]}
    assert hunted.detached == {1: [spared]}
    assert hunted.survivors == {}
    assert [is_alive(pid) for pid in (prey, spared, given_up, stranger)] == [False, True, True, True]
