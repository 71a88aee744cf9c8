"""The supervisor's own death takes everything with it, whatever happens to who sees to that."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from aelastic.process import guardian as guardian_module
from aelastic.process.guardian import Guardian
from tests.helpers.apps import LOOPS, Application
from tests.helpers.guardians import guardians_of
from tests.helpers.ranks import CHILDREN, shell
from tests.without_pidfds.sitecustomize import PIDFDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

asynchronous = pytest.mark.asyncio
each_loop = pytest.mark.parametrize("loop", LOOPS)

SLEEPING = "exec sleep 600"
READY = "echo ready; exec sleep 600"


def guardian_of(pid: int, but: int = 0) -> int:
    """The one that the process has, once it can be told by its command line."""
    assert eventually(lambda: guardians_of(pid) not in ([], [but]))
    (guardian,) = guardians_of(pid)
    return guardian


def eventually(condition: Callable[[], bool], patience: float = 10.0) -> bool:
    """Whether it comes true."""
    deadline = time.monotonic() + patience
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


@asynchronous
async def test_one_guardian_serves_all_runs_of_a_loop_and_goes_with_the_last() -> None:
    async with shell(SLEEPING):
        first = guardian_of(os.getpid())
        async with shell(SLEEPING):
            assert guardians_of(os.getpid()) == [first]
        assert guardians_of(os.getpid()) == [first]
    assert guardians_of(os.getpid()) == []


@asynchronous
async def test_runs_one_after_another_have_one_each() -> None:
    for _ in range(3):
        async with shell("exit 0") as ctx:
            await ctx.wait()
            assert guardians_of(os.getpid()) == []


@asynchronous
async def test_a_guardian_that_is_killed_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with shell(SLEEPING):
        first = guardian_of(os.getpid())
        os.kill(first, signal.SIGKILL)
        while guardians_of(os.getpid()) in ([], [first]):  # noqa: ASYNC110 - the loop needs its turns
            await asyncio.sleep(0.001)
    assert any("guardian" in message for message in caplog.messages)


@asynchronous
async def test_a_guardian_that_is_stopped_is_replaced_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    guardian = Guardian.join(time.monotonic)
    try:
        first = guardian.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        for number in range(10_000):
            guardian.add(f"mtoken.{number}")
            guardian.remove(f"mtoken.{number}")
        while guardian.pid in (first, None):  # noqa: ASYNC110 - the loop needs its turns
            await asyncio.sleep(0.001)
    finally:
        assert guardian.leave([])
        await asyncio.wait({guardian.gone})
    assert any("guardian" in message for message in caplog.messages)


def test_a_guardian_keeps_up_with_a_thousand_ranks() -> None:  # it once took half a minute
    ranks = [f"mrun.{rank}" for rank in range(1000)]
    started = [f"+ {guardian_module._in_words(rank)}\n" for rank in ["c/sys/fs/the.group", *ranks]]
    ended = [f"- {guardian_module._name(rank)}\n" for rank in ranks[:0:-1]]  # the last one first, and one stays
    script = ["/bin/sh", "-c", guardian_module._SCRIPT, "aelastic-guardian", "echo"]
    done = subprocess.run(
        script, input="".join(started + ended), capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "c/sys/fs/the.group mrun.0\n"


def test_a_guardian_may_be_told_twice() -> None:
    words = "+ mrun_0 mrun.0\n+ mrun_0 mrun.0\n- mrun_0\n- mrun_0\n+ mrun_1 mrun.1\n+ mrun_1 mrun.1\n"
    script = ["/bin/sh", "-c", guardian_module._SCRIPT, "aelastic-guardian", "echo"]
    done = subprocess.run(script, input=words, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "mrun.1\n"


@asynchronous
async def test_without_a_shell_a_run_goes_on_unguarded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_shell(*args: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(guardian_module, "launch_by_popen", no_shell)
    async with shell("exit 3") as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.exitcodes == {0: 3}
    assert "no /bin/sh" in caplog.text


@asynchronous
async def test_a_guardian_that_cannot_be_started_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(guardian_module, "launch_by_popen", no_memory)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        await shell(SLEEPING)


@each_loop
def test_nothing_outlives_the_application_whose_guardian_was_replaced(loop: str, tmp_path: Path) -> None:
    with Application("app_waits", loop, 30, tmp_path, READY, READY) as app:
        app.line("ready")
        first = guardian_of(app.process.pid)
        os.kill(first, signal.SIGKILL)
        guardian_of(app.process.pid, but=first)
        app.process.kill()
        app.ended()
        assert not app.survivors()


@pytest.mark.parametrize("means", ["group", "pidfd", "none"] if PIDFDS else ["none"])
def test_an_id_that_was_given_to_somebody_else_is_not_signalled(means: str) -> None:
    own_ids = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*own_ids, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no pid namespace can be made here")
    script = [sys.executable, str(CHILDREN / "app_reuses_ids.py"), means]
    done = subprocess.run([*own_ids, *script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["stranger None", "member True"]
