"""12. One of eight ranks cannot be started: those before it are gone when the exception leaves.

Cancelled starts are in scenario 5.
"""

from __future__ import annotations

import errno
import json
import os
from multiprocessing import popen_fork
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers import functions
from tests.helpers.apps import LOOPS, Application
from tests.helpers.ranks import is_alive, redirected
from tests.scenarios import vices
from tests.scenarios.kinds import METHODS, each_method, ranks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.kinds import AnyStarting, Method

COUNT = 8
BAD = 5
TOO_LONG = "6" * 200_000  # for one argument or one variable

asynchronous = pytest.mark.asyncio


async def refused(starting: AnyStarting, match: str) -> OSError:
    """The start fails because of rank 5; ranks 0 to 4 were started and are gone."""
    ctx = starting._context
    with pytest.raises(OSError, match=match) as caught:
        await ctx.start()
    assert set(ctx.pids()) == set(range(BAD))
    assert not [pid for pid in ctx.pids().values() if is_alive(pid)]
    with pytest.raises(OSError, match=match):
        await ctx.wait()
    return caught.value


def environments(of_bad: dict[str, str], of_others: dict[str, str] | None = None) -> dict[int, dict[str, str]]:
    """Rank 5 has one of its own."""
    return {rank: of_bad if rank == BAD else of_others or {} for rank in range(COUNT)}


@asynchronous
@pytest.mark.parametrize(
    ("text", "number"),
    [("#!/no/such/interpreter\n", errno.ENOENT), ("no format that a kernel knows", errno.ENOEXEC)],
    ids=["interpreter missing", "no program"],
)
async def test_a_program_that_cannot_be_executed(text: str, number: int, tmp_path: Path) -> None:
    for name, content in (("good", "#!/bin/sh\nexec sleep 600\n"), ("bad", text)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text(content)
        (tmp_path / name / "mine").chmod(0o755)
    good, bad = ({"PATH": f"{tmp_path / name}:{os.environ['PATH']}"} for name in ("good", "bad"))
    args: dict[int, tuple[str, ...]] = dict.fromkeys(range(COUNT), ())
    error = await refused(aelastic.start_processes("w", "mine", args, environments(bad, good)), "rank 5")
    assert error.errno == number


@asynchronous
@pytest.mark.parametrize("log", [True, False], ids=["captured", "console"])
async def test_arguments_too_long_for_the_kernel(log: bool, tmp_path: Path) -> None:
    args = {rank: (TOO_LONG if rank == BAD else "600",) for rank in range(COUNT)}
    specs = redirected(tmp_path) if log else None
    error = await refused(aelastic.start_processes("w", "/bin/sleep", args, environments({}), specs), "rank 5")
    assert error.errno == errno.E2BIG


@asynchronous
async def test_t03_a_start_that_fails_leaves_no_rank_behind(tmp_path: Path) -> None:
    """torch forgets the ranks that it had started before the one that could not be."""
    note = tmp_path / "pid"
    args = {0: ("-c", f"echo $$ > {note}; exec sleep 600"), 1: ("-c", "x" * 3_000_000)}
    with pytest.raises(OSError, match="rank 1"):
        await aelastic.start_processes("w", "/bin/sh", args, {0: {}, 1: {}})
    if note.exists() and note.read_text():  # rank 0 had got so far
        assert not is_alive(int(note.read_text()))


@asynchronous
async def test_an_environment_too_long_for_a_fresh_interpreter() -> None:
    args: list[tuple[()]] = [()] * COUNT
    error = await refused(ranks("spawn", vices.stay, *args, envs=environments({"TOO_LONG": TOO_LONG})), "rank 5")
    assert error.errno == errno.E2BIG


@asynchronous
async def test_no_process_is_left_for_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under ``ulimit -u``, which does not bind root."""
    launch = popen_fork.Popen._launch  # type: ignore[attr-defined]
    launches = iter([launch] * BAD)
    monkeypatch.setattr(popen_fork.Popen, "_launch", lambda self, one: next(launches, no_more_processes)(self, one))
    args: list[tuple[()]] = [()] * COUNT
    error = await refused(ranks("fork", vices.stay, *args), "rank 5")
    assert error.errno == errno.EAGAIN


def no_more_processes(*_: object) -> None:
    """What the kernel says."""
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@asynchronous
async def test_the_fork_server_is_not_there_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([DupFd] * 2 * BAD)  # each rank is sent descriptors for its value and for the guardian
    monkeypatch.setattr("aelastic.process.forked.DupFd", lambda number: next(answers, refuse)(number))
    args: list[tuple[()]] = [()] * COUNT
    error = await refused(ranks("forkserver", vices.stay, *args), "rank 5")
    assert error.errno == errno.EPIPE


def refuse(number: int) -> Any:
    """The server has closed the connection."""
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@asynchronous
@pytest.mark.parametrize("method", [method for method in METHODS if method != "fork"])  # a fork is given no pickle
async def test_what_cannot_be_pickled_is_named_before_any_start(method: Method) -> None:
    args: list[tuple[Any]] = [(functions.Unpicklable() if rank == BAD else rank,) for rank in range(COUNT)]
    with pytest.raises(aelastic.InvalidArgumentError, match=r"args\[5\]\[0\] cannot be pickled: never to be pickled"):
        await ranks(method, functions.echo, *args)


class OneBadFile(aelastic.DefaultLogsSpecs):
    """Wants the log of rank 5 where no file can be."""

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        """Default destinations but one."""
        dest = super().reify(envs)
        dest.stderrs[BAD] = f"{self.root_log_dir}/missing/file"
        return dest


@asynchronous
@each_method
async def test_a_log_file_that_cannot_be_opened_starts_nothing(method: Method, tmp_path: Path) -> None:
    args: list[tuple[()]] = [()] * COUNT
    specs = OneBadFile(os.fspath(tmp_path), redirects=aelastic.Std.ALL)
    for kind in ("program", method):
        ctx = ranks(kind, vices.stay, *args, logs_specs=specs)._context
        with pytest.raises(FileNotFoundError, match="rank 5") as caught:
            await ctx.start()
        assert caught.value.filename == f"{tmp_path}/missing/file"
        assert ctx.pids() == {}


@pytest.mark.parametrize("kind", ["program", "spawn"])
@pytest.mark.parametrize("loop", LOOPS)
def test_too_few_descriptors_leave_nothing_behind(loop: str, kind: str, tmp_path: Path) -> None:
    with Application("app_few_descriptors", loop, kind, tmp_path) as app:
        ended = app.ended()
        assert ended.err == ""
        assert ended.code == 0
        report = json.loads(ended.out)
        assert report["left behind"] == []
        assert report["started"] > 0
        assert report["refused"] > 0
        assert all("Too many open files" in refusal and "rank" in refusal for refusal in report["refusals"])
        assert app.survivors() == []
