"""Limits of the system: refused before the first process, with what is needed, what there is, and what to do."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.decide.descriptors import RESERVE
from tests.helpers import functions
from tests.helpers.apps import LOOPS, Application
from tests.helpers.limits import births, soft_limit
from tests.helpers.ranks import is_alive, redirected, shell
from tests.without_pidfds.sitecustomize import PIDFDS

if TYPE_CHECKING:
    from pathlib import Path

ENVS: dict[int, dict[str, str]] = {rank: {} for rank in range(4)}
SLEEPING = "exec sleep 600"
KINDS = (
    *("program-none", "program-out", "program-all", "program-tee"),
    *("spawn-none", "spawn-large", "fork-all", "forkserver-all"),
)
SMALL = 4  # descriptors of a console that is never slow, and the like


# Descriptors


@pytest.mark.skipif(not PIDFDS, reason="a pidfd per rank is reckoned with")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_said_to_be_needed_is_enough_and_hardly_more_than_that(loop: str, kind: str, tmp_path: Path) -> None:
    with Application("app_needs_descriptors", loop, kind, tmp_path, RESERVE + SMALL) as app:
        ended = app.ended()
        assert ended.code == 0, ended.err  # a fork server that is cut off says so there
        report = json.loads(ended.out)
        assert report["enough"]
        assert not report["fewer are enough"]
        needed = report["needed"]
        for (said, made), left in zip(report["refusals"], (1, needed - 1), strict=True):
            assert f"{needed} file descriptors, and {left} are left" in said
            assert made == []
        assert app.survivors() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("limit", "count"), [(64, 30), (1024, 1000)])
async def test_too_many_ranks_for_the_usual_limits_are_refused_before_the_first(
    limit: int, count: int, tmp_path: Path
) -> None:
    with births() as made, soft_limit(resource.RLIMIT_NOFILE, limit), pytest.raises(OSError, match="open") as caught:
        await shell(*[SLEEPING] * count, logs_specs=redirected(tmp_path))
    assert caught.value.errno == errno.EMFILE
    needed, left, soft = map(int, re.findall(r"(\d+) file descr.* (\d+) are left of the (\d+)", str(caught.value))[0])
    assert 6 * count <= needed < 6 * count + 20  # two pipes of two ends, and two files
    assert left < soft == limit
    assert made == []


# Processes and threads

SOMEBODY = 100_000 + os.getpid()  # who has no other processes
UNPRIVILEGED = (
    *("setpriv", "--reuid", str(SOMEBODY), "--regid", str(SOMEBODY), "--clear-groups"),
    *("--bounding-set", "-sys_admin,-sys_resource"),  # with these there is no limit
    *("--inh-caps", "-all,+dac_override", "--ambient-caps", "-all,+dac_override"),  # wherever this Python is installed
)
as_somebody = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be somebody who has no other processes"
)


@as_somebody
@pytest.mark.parametrize(("loop", "kind"), [("asyncio", "program"), ("uvloop", "program"), ("asyncio", "forkserver")])
def test_too_few_processes_leave_nothing_behind(loop: str, kind: str, tmp_path: Path) -> None:
    with Application("app_few_processes", loop, kind, tmp_path, under=UNPRIVILEGED) as app:
        ended = app.ended()
        assert ended.code == 0, ended.err
        report = json.loads(ended.out)
        assert report["left behind"] == []
        refusals = set(report["refusals"])
        assert "" in refusals, "no start was successful"
        refusals.discard("")
        ends = "fork server has ended" if kind == "forkserver" else "RLIMIT_NPROC"
        assert any("rank" in refusal and ends in refusal for refusal in refusals)
        assert all(re.search(f"{ends}|thread.*RLIMIT_NPROC", refusal) for refusal in refusals)
        assert app.survivors() == []


@as_somebody
@pytest.mark.parametrize("loop", LOOPS)
def test_a_run_goes_on_when_no_more_threads_are_allowed(loop: str, tmp_path: Path) -> None:
    with Application("app_has_no_more_threads", loop, tmp_path, under=UNPRIVILEGED) as app:
        ended = app.ended()
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == "{0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0}\n"
        assert {path.stat().st_size for path in tmp_path.rglob("stdout.log")} == {588890}
        assert app.survivors() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["program", "spawn"])  # multiprocessing keeps its pipes when a fork is refused
async def test_a_process_that_the_kernel_refuses_stops_those_before_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_the_fourth(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 4:  # the first is the guardian
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return original(*args)

    calls: list[Any] = []
    original = subprocess._fork_exec  # type: ignore[attr-defined]
    monkeypatch.setattr(subprocess, "_fork_exec", refuse_the_fourth)
    ctx: aelastic.PContext
    if kind == "program":
        ctx = aelastic.SubprocessContext("w", "/bin/sleep", dict.fromkeys(range(4), ("600",)), ENVS)
    else:
        ctx = aelastic.MultiprocessContext("w", functions.act, dict.fromkeys(range(4), ("sleeps",)), ENVS)
    with pytest.raises(BlockingIOError, match=r"rank 2: .*RLIMIT_NPROC .*ulimit -u.*pids\.max") as caught:
        await ctx.start()
    assert caught.value.errno == errno.EAGAIN
    assert len(calls) == 4
    assert [is_alive(pid) for pid in ctx.pids().values()] == [False, False]
