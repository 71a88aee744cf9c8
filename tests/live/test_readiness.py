"""Ranks that say themselves when they are ready, what they do, and that they live."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.process.notify import open_sockets
from tests.helpers import functions
from tests.helpers.apps import Application
from tests.helpers.ranks import line_of, python, redirected, shell

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.conduct.functions import StartMethod

pytestmark = pytest.mark.asyncio

METHODS: list[StartMethod] = ["spawn", "fork", "forkserver"]
SLEEP = "\nimport time\nwhile True: time.sleep(0.05)\n"
READY = "from aelastic import rank; rank.ready()" + SLEEP


async def next_event(ctx: aelastic.PContext, kind: type[aelastic.Event]) -> Any:
    """Wait for the first event of ``kind``."""
    async for event in ctx.events():
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the run ended without a {kind}")


async def result_of(ctx: aelastic.PContext) -> aelastic.RunProcsResult:
    """Wait for it."""
    result = await ctx.wait()
    assert result is not None
    return result


# ready()


async def test_a_rank_says_that_it_is_ready() -> None:
    async with python(READY, READY, readiness=aelastic.Notify()) as ctx:
        await ctx.ready()
        assert all(one.ready for one in ctx.snapshot().values())
        events = ctx.events()
        seen = [await anext(events) for _ in range(4)]
    assert {type(event) for event in seen} == {aelastic.RankStarted, aelastic.RankReady}
    assert not any(one.ready for one in ctx.snapshot().values())
    await ctx.ready()  # it was, and that does not change


async def test_without_readiness_a_rank_is_ready_when_it_runs() -> None:
    async with shell("sleep 60", "sleep 60") as ctx:
        await ctx.ready(0)
        assert ctx.snapshot()[1].ready
    assert not [event async for event in ctx.events() if isinstance(event, aelastic.RankReady)]


async def test_readiness_is_not_what_start_waits_for() -> None:
    async with shell("sleep 60", "sleep 60", readiness={1: aelastic.Notify()}) as ctx:
        await ctx.ready(rank=0)
        assert [one.ready for one in ctx.snapshot().values()] == [True, False]
        with pytest.raises(TimeoutError, match=r"'w': not ready within 0.05 s: rank 1: it has not said READY=1"):
            await ctx.ready(timeout=0.05)
        assert await ctx.wait(0) is None


async def test_waiting_for_one_rank() -> None:
    async with python(READY, SLEEP, readiness=aelastic.Notify()) as ctx:
        await ctx.ready(rank=0)
        with pytest.raises(aelastic.InvalidArgumentError, match="expected 0 to 1, got 2"):
            await ctx.ready(rank=2)


async def test_many_may_wait_and_a_cancelled_one_stops_nothing() -> None:
    late = "import time; time.sleep(0.3); " + READY
    async with python(late, readiness=aelastic.Notify()) as ctx:
        waiting = [asyncio.create_task(ctx.ready()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*waiting[1:])
        assert waiting[0].cancelled()
        assert await ctx.wait(0) is None


async def test_a_rank_that_ends_first_fails_the_wait_at_once_with_its_last_lines(tmp_path: Path) -> None:
    script = "echo starting; echo no such database >&2; exit 3"
    specs = redirected(tmp_path)
    async with shell(script, "sleep 60", readiness=aelastic.Notify(), logs_specs=specs, failure_grace=60) as ctx:
        with pytest.raises(aelastic.NotReadyError) as caught:
            await ctx.ready(60)
    error = caught.value
    assert (error.rank, error.exitcode, error.last_lines) == (0, 3, "starting\nno such database")
    assert str(error).startswith("'w': rank 0 exited with code 3 before it was ready; its last lines:\n  starting\n")


@pytest.mark.any_loop
async def test_the_last_lines_are_not_waited_for_long(tmp_path: Path) -> None:
    holder = "echo last; (trap '' HUP; exec setsid sleep 3) & exit 0"
    specs = redirected(tmp_path)
    async with shell(holder, "sleep 60", readiness=aelastic.Notify(), logs_specs=specs, drain_timeout=60) as ctx:
        with pytest.raises(aelastic.NotReadyError, match=r"exited with code 0 before it was ready.*\n  last"):
            await ctx.ready(60, rank=0)
        assert await ctx.wait(0) is None


async def test_what_a_rank_said_before_it_ended_counts() -> None:
    async with python("from aelastic import rank; rank.ready()", readiness=aelastic.Notify()) as ctx:
        await ctx.wait()
        await ctx.ready()
    kinds = [type(event) async for event in ctx.events()]
    assert kinds == [aelastic.RankStarted, aelastic.RankReady, aelastic.RankExited, aelastic.RunFinished]


async def test_a_stopped_run_is_never_ready() -> None:
    async with shell("sleep 60", "sleep 60", readiness=aelastic.Notify()) as ctx:
        waiting = asyncio.create_task(ctx.ready())
        await asyncio.sleep(0)
        ctx.request_stop()
        with pytest.raises(aelastic.NotReadyError, match=r"rank [01] killed by SIGTERM before it was ready"):
            await waiting
    with pytest.raises(aelastic.NotReadyError):
        await ctx.ready()


async def test_ready_before_the_start_is_an_error() -> None:
    ctx = aelastic.SubprocessContext("w", "true", {0: ()}, {0: {}})
    with pytest.raises(aelastic.NotRunningError):
        await ctx.ready()


async def test_waiting_while_the_start_fails() -> None:
    args = {0: ("600",), 1: ("6" * 200_000,)}
    ctx = aelastic.SubprocessContext("w", "/bin/sleep", args, {0: {}, 1: {}}, readiness=aelastic.Notify())
    starting = asyncio.create_task(ctx.start())
    await asyncio.sleep(0)
    with pytest.raises(aelastic.NotReadyError):
        await ctx.ready()
    with pytest.raises(OSError, match="rank 1"):
        await starting


async def test_ready_in_another_loop_is_an_error() -> None:
    async with shell("sleep 60") as ctx:
        caught: list[BaseException] = []

        def elsewhere() -> None:
            try:
                asyncio.run(ctx.ready())
            except aelastic.NotRunningError as error:
                caught.append(error)

        await asyncio.to_thread(elsewhere)
    assert "another loop" in str(caught[0])


async def test_a_fault_of_ours_ends_who_waits_for_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    ctx = await shell("sleep 60", readiness=aelastic.Notify())
    monkeypatch.setattr("aelastic.decide.gang.Gang.exited", fault)
    waiting = asyncio.create_task(ctx.ready())
    await asyncio.sleep(0)
    ctx.send_signal(signal.SIGKILL)
    with pytest.raises(aelastic.NotReadyError):
        await waiting
    with pytest.raises(ZeroDivisionError):
        await ctx.wait()
    await ctx.close()


# What is told


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_a_function_rank_tells_of_itself(method: StartMethod) -> None:
    async with aelastic.start_processes(
        "f", functions.tells, {0: (), 1: ()}, {0: {}, 1: {}}, start_method=method, readiness=aelastic.Notify()
    ) as ctx:
        await ctx.ready()
        result = await result_of(ctx)
    assert result.return_values == {0: (0, 2, 0, 2, None), 1: (1, 2, 1, 2, None)}
    for rank, one in ctx.snapshot().items():
        assert one.status == f"rank {rank} of 2"
        assert one.progress is not None
        assert (one.progress.done, one.progress.total) == (3.0, 10.0)


async def test_a_status_is_one_line_of_printable_text() -> None:
    script = "from aelastic import rank; rank.status('a\\n b\\x1b[31m\\u202e' + 'x' * 5000)"
    async with python(script, readiness=aelastic.Notify()) as ctx:
        await ctx.wait()
    assert ctx.snapshot()[0].status == ("a b[31m" + "x" * 5000)[:998]


async def test_the_names_of_the_user_count_for_the_global_rank() -> None:
    script = "from aelastic import rank; print(rank.rank(), rank.world_size(), rank.local_rank())"
    specs = aelastic.DefaultLogsSpecs(redirects=aelastic.Std.ALL)
    async with python(script, envs={0: {"RANK": "8", "WORLD_SIZE": "16"}}, logs_specs=specs) as ctx:
        line = await line_of(ctx, "")
    assert line.text == "8 16 0"
    shutil.rmtree(specs.root_log_dir, ignore_errors=True)


@pytest.mark.skipif(not shutil.which("systemd-notify"), reason="the machine has no systemd-notify")
async def test_a_shell_script_uses_systemds_own_tool() -> None:
    script = "systemd-notify --status='warming up'; systemd-notify --ready; exec sleep 60"
    async with shell(script, readiness=aelastic.Notify()) as ctx:
        await ctx.ready(30)
        assert ctx.snapshot()[0].status == "warming up"


async def test_a_rank_that_stops_by_itself_is_not_ready_any_more() -> None:
    script = "from aelastic import rank; rank.ready(); rank.stopping(); rank.status('bye')" + SLEEP
    async with python(script, readiness=aelastic.Notify()) as ctx:
        await ctx.ready()
        await next_event(ctx, aelastic.RankStatus)
        assert not ctx.snapshot()[0].ready


async def test_a_flood_leaves_turns_to_others_and_one_status_to_read() -> None:
    flood = """
from aelastic import rank
rank.ready()
while True: rank.status("flood"); rank.progress(1)
"""
    async with python(flood, "import time; time.sleep(0.3); " + READY, readiness=aelastic.Notify()) as ctx:
        lazy = ctx.events()
        await ctx.ready(30)
        for _ in range(20):
            await asyncio.sleep(0.01)
    kinds = [type(event) async for event in lazy]
    assert kinds.count(aelastic.RankStatus) == kinds.count(aelastic.RankProgress) == 1
    assert kinds.count(aelastic.RankReady) == kinds.count(aelastic.RankExited) == 2


async def test_nonsense_is_no_error() -> None:
    script = """
import os, socket
nonsense = [b"", b"\\0", b"READY", b"=", b"READY=2", b"\\xff" * 100, b"STATUS=" + b"x" * 5000, b"WATCHDOG_USEC=-1"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
    for datagram in nonsense + [b"STATUS=\\xff\\nREADY=1"]:
        speaker.sendto(datagram, os.environ["NOTIFY_SOCKET"])
"""
    async with python(script, readiness=aelastic.Notify()) as ctx:
        result = await result_of(ctx)
        await ctx.ready()
    assert not result.is_failed()
    assert ctx.snapshot()[0].status == "\ufffd"


# The surroundings


async def test_a_rank_never_speaks_for_the_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "systemd"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "systemd"))
        monkeypatch.setenv("WATCHDOG_USEC", "1000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        script = "import os; print(sorted(name for name in os.environ if name.startswith(('NOTIFY', 'WATCHDOG'))))"
        tells = "from aelastic import rank; rank.ready(); rank.heartbeat(); "
        async with python(tells + script, logs_specs=redirected(tmp_path)) as ctx:
            assert (await line_of(ctx, "[")).text == "[]"
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


async def test_what_the_user_gives_a_rank_reaches_it(tmp_path: Path) -> None:
    envs = {0: {"NOTIFY_SOCKET": "/elsewhere"}}
    async with shell("echo $NOTIFY_SOCKET", envs=envs, logs_specs=redirected(tmp_path)) as ctx:
        assert (await line_of(ctx, "/")).text == "/elsewhere"
    with pytest.raises(aelastic.InvalidArgumentError, match=r"envs\[0\] sets NOTIFY_SOCKET"):
        await shell("exit 0", envs=envs, readiness=aelastic.Notify())


async def test_a_copy_of_our_environment_is_no_wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NOTIFY_SOCKET": "/elsewhere", "WATCHDOG_USEC": "5", "AELASTIC_RANK": "7"}.items():
        monkeypatch.setenv(name, value)
    script = "from aelastic import rank; rank.ready(); print(rank.rank(), rank.watchdog_interval())"
    copy, specs = {0: dict(os.environ)}, redirected(tmp_path)
    async with python(script, envs=copy, readiness=aelastic.Notify(), watchdog=60, logs_specs=specs) as ctx:
        await ctx.ready()
        assert (await line_of(ctx, " ")).text == "0 60.0"


async def test_the_sockets_are_private_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with python(READY, readiness=aelastic.Notify()) as ctx:
        await ctx.ready()
        (directory,) = tmp_path.glob("aelastic-notify-*")
        assert directory.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


async def test_a_long_temporary_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    async with python(READY, readiness=aelastic.Notify()) as ctx:
        await ctx.ready()


async def test_a_run_without_readiness_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    async with shell("echo $NOTIFY_SOCKET.", logs_specs=redirected(tmp_path)) as ctx:
        assert (await line_of(ctx, ".")).text == "."
        assert open_sockets() == []


async def test_a_directory_that_cannot_be_made_fails_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(FileNotFoundError, match=r"no notify sockets for the ranks: .*/proc/aelastic-notify-"):
        await shell("exit 0", readiness=aelastic.Notify(), logs_specs=redirected(tmp_path))


@pytest.mark.filterwarnings("ignore:start_method='fork'")
async def test_forked_ranks_do_not_hold_each_others_sockets() -> None:
    ranks = range(3)
    async with aelastic.start_processes(
        "f",
        functions.open_sockets,
        dict.fromkeys(ranks, ()),
        {rank: {} for rank in ranks},
        start_method="fork",
        readiness=aelastic.Notify(),
    ) as ctx:
        sockets = re.compile("|".join(re.escape(one) for one in _notify_sockets()))
        result = await result_of(ctx)
    for held in result.return_values.values():
        assert not [one for one in held if sockets.fullmatch(one)]


def _notify_sockets() -> list[str]:
    assert len(open_sockets()) == 3
    return [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in open_sockets()]


# The watchdog


async def test_heartbeats_keep_a_rank_alive_and_their_end_ends_it(tmp_path: Path) -> None:
    script = """
import time
from aelastic import rank
assert rank.watchdog_interval() == 0.5
rank.ready()
for _ in range(10): rank.heartbeat(); time.sleep(0.1)
def waits_for_ever():
    while True: time.sleep(0.05)
waits_for_ever()
"""
    specs = redirected(tmp_path)
    async with python(script, READY, readiness=aelastic.Notify(), watchdog=0.5, logs_specs=specs) as ctx:
        hung = await next_event(ctx, aelastic.RankHung)
        result = await result_of(ctx)
    assert hung.rank == 1
    assert {type(event) async for event in ctx.events()} >= {aelastic.RankHung, aelastic.RankReady}
    failure = result.first_failure
    assert failure is not None
    assert (failure.local_rank, failure.exitcode, failure.collateral) == (1, -signal.SIGTERM, False)
    assert re.fullmatch(r"missed its watchdog: no heartbeat for \d\.\d s", failure.reason)
    assert "<module>" in failure.stderr_tail
    assert failure.failed_at < failure.exited_at


@pytest.mark.any_loop
async def test_a_hung_rank_that_leaves_with_zero_has_failed(tmp_path: Path) -> None:
    script = """
import signal, sys, time
from aelastic import rank
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
rank.ready()
while True: time.sleep(0.05)
"""
    specs = redirected(tmp_path)
    async with python(script, readiness=aelastic.Notify(), watchdog=0.2, logs_specs=specs) as ctx:
        result = await result_of(ctx)
    assert result.exitcodes == {0: 0}
    assert result.first_failure is not None
    assert "missed its watchdog" in result.first_failure.reason
    assert "Current thread" in result.first_failure.stderr_tail


async def test_a_program_that_named_no_signal_is_aborted() -> None:
    script = """
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
    speaker.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
while True: time.sleep(0.05)
"""
    async with python(script, watchdog=0.3) as ctx:
        await ctx.ready()
        result = await result_of(ctx)
    assert result.exitcodes == {0: -signal.SIGABRT}
    assert result.first_failure is not None
    assert "missed its watchdog" in result.first_failure.reason


@pytest.mark.any_loop
async def test_stacks_are_asked_only_of_the_ranks_own_processes() -> None:
    script = f"""
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
    speaker.sendto(b"READY=1\\nX_AELASTIC_DUMP={os.getpid()} 9", os.environ["NOTIFY_SOCKET"])
import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
while True: time.sleep(0.05)
"""
    async with python(script, readiness=aelastic.Notify(), watchdog=0.3) as ctx:
        result = await result_of(ctx)
    assert result.exitcodes == {0: -signal.SIGABRT}


@pytest.mark.any_loop
async def test_a_rank_behind_a_shell_shows_its_stacks(tmp_path: Path) -> None:
    script = tmp_path / "inner.py"
    script.write_text(READY)
    command = f"{sys.executable} {script}; exit 5"
    async with shell(command, readiness=aelastic.Notify(), watchdog=0.3, logs_specs=redirected(tmp_path)) as ctx:
        result = await result_of(ctx)
    assert "inner.py" in result.failures[0].stderr_tail
    assert result.exitcodes == {0: -signal.SIGTERM}


@pytest.mark.any_loop
async def test_a_rank_may_ask_for_more_time_and_may_give_itself_up() -> None:
    script = """
import os, socket, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(text, os.environ["NOTIFY_SOCKET"])
import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
say(b"READY=1\\nWATCHDOG_USEC=60000000")
time.sleep(1)
say(b"STATUS=still here")
say(b"WATCHDOG=trigger")
while True: time.sleep(0.05)
"""
    async with python(script, readiness=aelastic.Notify(), watchdog=0.2) as ctx:
        result = await result_of(ctx)
    assert ctx.snapshot()[0].status == "still here"
    assert result.first_failure is not None
    assert result.first_failure.reason == "said that it hangs (WATCHDOG=trigger)"


@pytest.mark.any_loop
async def test_a_stopping_run_expects_no_heartbeat(tmp_path: Path) -> None:
    script = """
import signal, time
from aelastic import rank
signal.signal(signal.SIGTERM, lambda *_: None)
rank.ready()
while True: time.sleep(0.05)
"""
    options: dict[str, Any] = {"readiness": aelastic.Notify(), "watchdog": 0.4, "shutdown_timeout": 1.0}
    async with python(script, **options) as ctx:
        await ctx.ready()
    assert ctx.result is not None
    assert ctx.result.failures[0].collateral
    assert not [event async for event in ctx.events() if isinstance(event, aelastic.RankHung)]


@pytest.mark.any_loop
async def test_a_rank_that_ends_by_itself_expects_no_watchdog() -> None:
    script = "import time; from aelastic import rank; rank.ready(); rank.stopping(); time.sleep(0.8)"
    async with python(script, readiness=aelastic.Notify(), watchdog=0.2) as ctx:
        result = await result_of(ctx)
    assert not result.is_failed()


@pytest.mark.any_loop
async def test_too_late_to_be_ready(tmp_path: Path) -> None:
    script = "from aelastic import rank; rank.status('loading')" + SLEEP
    specs = redirected(tmp_path)
    async with python(script, readiness=aelastic.Notify(), ready_timeout=0.5, logs_specs=specs) as ctx:
        with pytest.raises(aelastic.NotReadyError, match=r"rank 0 was not ready within 0\.5 s"):
            await ctx.ready()
        result = await result_of(ctx)
    assert result.first_failure is not None
    assert result.first_failure.reason == "was not ready within 0.5 s"
    assert "Current thread" in result.first_failure.stderr_tail


async def test_a_loop_that_was_held_up_blames_nobody() -> None:
    script = """
import time
from aelastic import rank
rank.ready()
while True: rank.heartbeat(); time.sleep(0.02)
"""
    async with python(script, readiness=aelastic.Notify(), watchdog=0.3) as ctx:
        await ctx.ready()
        threading.Event().wait(1.0)  # blocks the loop, not the rank
        await asyncio.sleep(0.1)
        assert ctx.snapshot()[0].ready
        assert await ctx.wait(0) is None


@pytest.mark.any_loop
async def test_the_peers_that_fail_in_consequence_do_not_take_the_blame(tmp_path: Path) -> None:
    fails = (
        "import time; from aelastic import rank; rank.ready(); rank.stopping(); time.sleep(0.6); raise SystemExit(4)"
    )
    specs = redirected(tmp_path)
    options: dict[str, Any] = {
        "readiness": aelastic.Notify(),
        "watchdog": 0.2,
        "failure_grace": 60,
        "logs_specs": specs,
    }
    async with python(READY, fails, **options) as ctx:
        result = await result_of(ctx)
    assert result.exitcodes[1] == 4
    assert result.first_failure is not None
    assert result.first_failure.local_rank == 0
    with pytest.raises(aelastic.ChildFailedError) as caught:
        result.raise_for_failures()
    assert caught.value.get_first_failure()[0] == 0


# Contexts that nobody closes


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(
    ("how", "loop"),
    [("closes its loop", "uvloop"), ("is interrupted", "asyncio"), ("drops them", "asyncio"), ("just ends", "uvloop")],
)
async def test_an_application_that_leaves_its_ranks_leaves_no_socket(
    how: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="t-") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        with Application("app_leaves_ready_ranks", loop, how, options=("-X", "dev")) as app:
            pids = list(map(int, app.line(" ").split()))
            if how == "is interrupted":
                app.interrupt()
            ended = app.ended()
            assert app.survivors() == []
        assert len(pids) == 2
        assert "unclosed <socket" not in ended.err
        assert not [name for name in os.listdir(directory) if "notify" in name]
