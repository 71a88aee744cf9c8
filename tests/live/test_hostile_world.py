"""Hostile circumstances (scenario 20): ranks run, nothing hangs or spins, and what is lost is said."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.apps import LOOPS, Application

if TYPE_CHECKING:
    from pathlib import Path

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


@dataclass(frozen=True)
class World:
    """``under`` and ``what`` make it, ``pidfd`` is the switch of ``without_pidfds``; ``warnings`` say what is lost."""

    under: tuple[str, ...] = ()
    what: tuple[str, ...] = ()
    pidfd: str = ""
    warnings: tuple[str, ...] = ()


NORMAL: dict[str, Any] = {
    "exit codes": [0, 1],
    "said": ["0\n", "1\n"],
    "cpus": [True, True],
    "alive": [True, True],
    "closed": [False, False],
    "many": "started",
    "orphans": [],
}
LIMITED = NORMAL | {"many": "EMFILE"}
SILENT = {**NORMAL, "exit codes": [255, 255]}  # nobody knows how they ended
del SILENT["cpus"]  # a rank whose end looks like a failure may stop another before its value is home
IGNORED = ("SIGCHLD is ignored in this process",)


@pytest.fixture
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The circumstances, as far as they are in the environment."""
    one: World = request.param
    if one.pidfd:
        monkeypatch.setenv("AELASTIC_TEST_PIDFD", one.pidfd)
    return one


def can_be_first() -> bool:
    """Whether a process can be made the first one of a namespace here."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def report_of(loop: str, world: World, tmp_path: Path) -> dict[str, Any]:
    """What an application in that world says. Nothing of it survives, and it has not been busy."""
    with Application("app_in_a_hostile_world", loop, tmp_path, *world.what, under=world.under) as app:
        ended = app.ended()
        assert ended.code == 0, ended.err
        assert ended.noise == []
        assert [warning for warning in world.warnings if warning not in ended.err] == []
        assert ended.err == "" or world.warnings
        assert app.survivors() == []
    report: dict[str, Any] = json.loads(ended.out)
    assert report.pop("idle") < 0.05, "of a cpu, with nothing to do"
    return report


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(World(), NORMAL, id="a friendly world"),
        pytest.param(World(pidfd="off"), NORMAL, id="no pidfds"),
        pytest.param(World(pidfd="EPERM"), NORMAL, id="pidfds are forbidden"),
        pytest.param(World(pidfd="mute"), NORMAL, id="pidfds cannot signal"),
        pytest.param(World(("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")), LIMITED, id="64 descriptors"),
        pytest.param(World(what=("one-cpu",), warnings=("effective cpus",)), NORMAL, id="one cpu"),
    ],
    indirect=["world"],
)
def test_ranks_run_as_ever(loop: str, world: World, expected: dict[str, Any], tmp_path: Path) -> None:
    report = report_of(loop, world, tmp_path)
    assert {what: report[what] for what in expected} == expected


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "world",
    [
        pytest.param(World(("env", "--ignore-signal=CHLD"), warnings=IGNORED), id="inherited"),
        pytest.param(World(what=("ignoring",), warnings=IGNORED), id="later"),
        pytest.param(World(what=("ignoring",), pidfd="off", warnings=IGNORED), id="later and no pidfds"),
    ],
    indirect=["world"],
)
def test_where_sigchld_is_ignored_ends_are_noticed_without_exit_codes(loop: str, world: World, tmp_path: Path) -> None:
    report = report_of(loop, world, tmp_path)
    assert {what: report[what] for what in SILENT} == SILENT


@pytest.mark.skipif(not can_be_first(), reason="no process can be made the first of a namespace here (unshare --pid)")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("world", [World(UNSHARE, ("orphans",))], indirect=True, ids=["as process 1"])
def test_children_that_we_did_not_start_are_neither_reaped_nor_signalled(
    loop: str, world: World, tmp_path: Path
) -> None:
    report = report_of(loop, world, tmp_path)
    assert report["pid"] == 1
    expected = NORMAL | {"orphans": ["S", "Z"]}  # one sleeps, one has ended and waits for who reaps it
    assert {what: report[what] for what in expected} == expected
