"""The synchronous face: torch's calls, and what scripts do with them."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
import aelastic.sync
from aelastic.sync.launch import Options
from aelastic.sync.signals import RaisesOnSignals
from tests.helpers.apps import Application
from tests.helpers.ranks import child, is_alive, redirected

if TYPE_CHECKING:
    from collections.abc import Iterator

READY = "echo ready; exec sleep 600"
DEAF = child("ignores_term")


def shell(*scripts: str, **options: Any) -> aelastic.sync.SubprocessContext:
    args = {rank: ("-c", script) for rank, script in enumerate(scripts)}
    return aelastic.sync.start_processes("w", "/bin/sh", args, {rank: {} for rank in args}, **options)


def result_of(ctx: aelastic.sync.PContext) -> aelastic.RunProcsResult:
    result = ctx.wait()
    assert result is not None
    return result


def square(value: int) -> int:
    return value * value


def test_ranks_and_their_result(tmp_path: Path) -> None:
    ctx = shell("echo one", "echo two >&2; exit 3", logs_specs=redirected(tmp_path), failure_grace=30)
    assert set(ctx.pids()) == {0, 1}
    result = result_of(ctx)
    assert result.exitcodes == {0: 0, 1: 3}
    assert result.first_failure is not None
    assert result.first_failure.stderr_tail == "two"
    assert ctx.wait(0) is ctx.result is result
    assert sorted(line.text for line in ctx.logs()) == ["one", "two"]
    assert [type(event).__name__ for event in ctx.events()][-1] == "RunFinished"
    assert {rank: seen.exitcode for rank, seen in ctx.snapshot().items()} == {0: 0, 1: 3}
    assert Path(ctx.stdouts[0]).read_text() == "one\n"
    ctx.close()
    ctx.close()


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_functions_bring_home_their_values(method: Any) -> None:
    args = {rank: (rank,) for rank in range(3)}
    with aelastic.sync.start_processes("f", square, args, {rank: {} for rank in args}, start_method=method) as ctx:
        assert result_of(ctx).return_values == {0: 0, 1: 1, 2: 4}


def test_a_timeout_lets_the_ranks_go_on() -> None:
    ctx = shell(READY)
    assert ctx.wait(timeout=0) is None
    assert ctx.wait(0.05, period=1) is None
    assert is_alive(ctx.pids()[0])
    ctx.close(death_sig=signal.SIGINT, timeout=30)
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -signal.SIGINT}
    assert aelastic.sync.PContext.wait(ctx, -1) is ctx.result


def test_readiness_and_signals(tmp_path: Path) -> None:
    script = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.01; done"
    ctx = shell(script, logs_specs=redirected(tmp_path), readiness=aelastic.LogProbe("ready"))
    ctx.ready(30)
    ctx.send_signal(signal.SIGUSR1)
    assert next(line.text for line in ctx.logs() if "got" in line.text) == "got it"
    ctx.close()
    with pytest.raises(aelastic.NotRunningError, match="was not started, or is closed"):
        ctx.send_signal(signal.SIGUSR1)


def test_a_start_that_fails_leaves_nothing() -> None:
    with pytest.raises(FileNotFoundError, match="rank 0: the program was not found"):
        aelastic.sync.start_processes("w", "/no/such/program", {0: ()}, {0: {}})
    with pytest.raises(aelastic.InvalidRanksError):
        aelastic.sync.start_processes("w", "true", {1: ()}, {1: {}})


def test_a_context_starts_once() -> None:
    made = aelastic.sync.SubprocessContext("w", "true", {0: ()}, {0: {}})
    with made as ctx:
        with pytest.raises(ValueError, match="was started already"):
            ctx.start()
        assert result_of(ctx).exitcodes == {0: 0}


def test_several_threads_may_use_a_context() -> None:
    ctx = shell(READY)
    results: list[object] = []
    waiting = [threading.Thread(target=lambda: results.append(ctx.wait())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    ctx.close()
    for thread in waiting:
        thread.join()
    assert results == [ctx.result] * 3


def test_several_threads_may_close_a_context() -> None:
    for _ in range(20):
        ctx = shell("exit 0")
        closing = [threading.Thread(target=ctx.close) for _ in range(4)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        assert ctx.result is not None


def test_a_context_that_is_dropped_stops_its_ranks() -> None:
    ctx = shell(READY)
    (pid,) = ctx.pids().values()
    with pytest.warns(ResourceWarning, match="'w' was dropped without being closed"):
        del ctx
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_fork_of_the_application_can_do_no_harm() -> None:
    ctx = shell(READY)
    if (forked := os.fork()) == 0:
        try:
            with pytest.raises(aelastic.NotRunningError, match="a fork of that cannot use it"):
                ctx.wait()
            ctx.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(forked, 0)[1] == 0
    assert ctx.wait(0.1) is None
    ctx.close()


# Signals


def interrupts(sig: int, method: str = "_stopping_when_interrupted") -> None:
    """Send ``sig`` to this process when its main thread is in ``method`` of a context: in ``start`` or ``wait``."""
    main = threading.get_ident()

    def send() -> None:
        while not any(frame.f_code.co_name == method for frame, _ in traceback.walk_stack(sys._current_frames()[main])):
            time.sleep(0.001)
        time.sleep(0.02)
        os.kill(os.getpid(), sig)

    threading.Thread(target=send).start()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_raises_and_stops_the_ranks_with_it(sig: signal.Signals) -> None:
    ctx = shell(READY, READY)
    interrupts(sig)
    with pytest.raises(aelastic.SignalException) as caught:
        ctx.wait()
    assert caught.value.sigval == sig
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -sig, 1: -sig}
    ctx.close()


def test_ctrl_c_stops_the_ranks() -> None:
    ctx = shell(READY, READY)
    interrupts(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ctx.wait()
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -15, 1: -15}
    ctx.close()


def test_ctrl_c_during_the_start_stops_what_was_started() -> None:
    interrupts(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        shell(*[READY] * 400)


class Interrupted(Future[Any]):
    """Who waits for it is interrupted."""

    waited = False

    def result(self, timeout: float | None = None) -> Any:
        if threading.current_thread() is threading.main_thread() and not self.waited:
            self.waited = True
            raise KeyboardInterrupt
        return super().result(timeout)


def test_ctrl_c_before_the_loop_runs_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aelastic.conduct.portal.Future", Interrupted)
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        shell(READY)
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    ctx = shell(DEAF, shutdown_timeout=600, logs_specs=redirected(tmp_path))
    next(line for line in ctx.logs() if "ready" in line.text)
    interrupts(signal.SIGINT)
    interrupts(signal.SIGINT, "_close")
    with pytest.raises(KeyboardInterrupt):
        ctx.wait()
    assert ctx.result is not None
    assert ctx.result.exitcodes == {0: -9}
    ctx.close()


def test_the_applications_signals_are_its_own_and_nothing_stays() -> None:
    def stop(number: int, frame: object) -> None:
        raise StopIteration("asked to")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        first = shell(READY)
        second = shell(READY)
        assert signal.getsignal(signal.SIGTERM) is stop
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
        interrupts(signal.SIGTERM)
        with pytest.raises(StopIteration):
            first.wait()
        first.close()
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL  # the second one is still there
        second.close()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_torchs_variable_says_which_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGUSR2")
    with shell(READY):
        assert signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


def test_a_signal_between_two_handlers_leaves_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_after_another() -> Iterator[signal.Signals]:
        yield signal.SIGHUP
        signal.raise_signal(signal.SIGHUP)
        yield signal.SIGTERM

    monkeypatch.setattr("aelastic.sync.signals.signals_to_handle", one_after_another)
    with pytest.raises(aelastic.SignalException):
        shell(READY)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_contexts_that_overlap_for_ever_do_not_pile_up() -> None:
    """The next one is always started before the last one is closed."""
    last = RaisesOnSignals()
    last.enter()
    for _ in range(sys.getrecursionlimit() + 10):
        following = RaisesOnSignals()
        following.enter()
        last.leave()
        last = following
    held = 0
    handler: Any = signal.getsignal(signal.SIGTERM)
    while handler is not signal.SIG_DFL:
        handler, held = handler._before, held + 1
    last.leave()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert held <= 2


def test_in_another_thread_no_handler_is_touched() -> None:
    seen: list[object] = []

    def work() -> None:
        with shell(READY):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


# Scripts of their own


def script(how: str, tmp_path: Path, timeout: float, *scripts: str) -> Application:
    return Application("app_is_a_script", "asyncio", how, tmp_path / "logs", timeout, *scripts)


@pytest.mark.parametrize("how", ["leaves", "waits", "iterates"])
def test_the_end_of_the_interpreter_stops_the_ranks(how: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    with script(how, tmp_path, 30, READY, child("exits_slowly", "0.2", str(file))) as app:
        app.line("ready")
        if how != "leaves":
            app.interrupt()
        ended = app.ended()
        assert app.survivors() == []
        assert file.read_text() == "complete"
        assert ("KeyboardInterrupt" in ended.err) == (how != "leaves")
        assert "was broken off" not in ended.err
        assert "Exception ignored" not in ended.err


def test_a_script_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    with script("waits", tmp_path, 30, READY, READY) as app:
        app.line("ready")
        app.process.kill()
        app.ended()
        assert app.survivors() == []


def test_a_script_that_is_told_to_end_says_so_by_its_status(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    with script("waits", tmp_path, 30, READY, child("exits_slowly", "0.2", str(file))) as app:
        app.line("ready")
        app.process.terminate()
        ended = app.ended()
        assert ended.code == 1
        assert "SignalException: process" in ended.err
        assert app.survivors() == []
    assert file.read_text() == "complete"


# Torch's signatures


def test_the_signatures_are_torchs() -> None:
    torchs = pytest.importorskip("torch.distributed.elastic.multiprocessing")
    theirs = list(inspect.signature(torchs.start_processes).parameters.values())
    ours = list(inspect.signature(aelastic.sync.start_processes).parameters.values())[: len(theirs)]
    assert [one.name for one in ours] == [one.name for one in theirs]
    defaults = [one.default for one in theirs]
    defaults[4] = None  # logs_specs, which torch wants to be given
    assert [one.default for one in ours] == defaults
    for method in ("start", "wait", "close", "pids"):
        names = list(inspect.signature(getattr(torchs.PContext, method)).parameters)
        assert list(inspect.signature(getattr(aelastic.sync.PContext, method)).parameters) == names
    assert set(torchs.__all__) == set(aelastic.sync.__all__)


def test_the_other_options_are_those_of_the_asynchronous_face() -> None:
    theirs = inspect.signature(aelastic.start_processes).parameters.values()
    assert set(Options.__annotations__) == {one.name for one in theirs if one.kind is one.KEYWORD_ONLY}
