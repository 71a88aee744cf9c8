"""What type checkers see of the public names. Checked by mypy, never executed."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn, assert_type

import aelastic
import aelastic.errors
import aelastic.sync
import aelastic.testing
import aelastic.web
from aelastic import Event, LogLine, PContext, RunProcsResult, Std, SubprocessContext, rank, record

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request


async def what_starts_can_be_awaited() -> None:
    starting = aelastic.start_processes("w", "true", {0: ()}, {0: {}})
    assert_type(await starting, SubprocessContext)
    _: Awaitable[PContext] = starting


async def what_starts_can_be_entered() -> None:
    starting = aelastic.start_processes("w", "true", {0: ()}, {0: {}})
    async with starting as ctx:
        assert_type(ctx, SubprocessContext)
    _: AbstractAsyncContextManager[PContext] = starting


async def a_context_can_be_made_by_hand() -> None:
    made = SubprocessContext("w", "true", {0: ()}, {0: {}}, shutdown_timeout=3.0)
    assert_type(await made.start(), SubprocessContext)
    async with made as ctx:
        assert_type(ctx, SubprocessContext)


def the_arguments_are_torchs(specs: aelastic.LogsSpecs) -> None:
    aelastic.start_processes(
        "w", "true", {0: ("a", 1, 2.5)}, {0: {"K": "v"}}, specs, {0: ">"}, "spawn", None, ["x"], ["y"]
    )
    aelastic.start_processes(
        name="w",
        entrypoint="true",
        args={0: ["a"]},
        envs={0: {}},
        logs_specs=None,
        log_line_prefixes=None,
        start_method="forkserver",
        numa_options=None,
        duplicate_stdout_filters=None,
        duplicate_stderr_filters=None,
        death_sig=signal.SIGINT,
        shutdown_timeout=5,
        drain_timeout=0.5,
        failure_grace=1,
        readiness={0: aelastic.TcpProbe(80)},
        ready_timeout=60,
        watchdog=5,
        strip_escapes=True,
    )
    aelastic.start_processes("w", "true", {0: ()}, {0: {}}, start_method="thread")  # type: ignore[call-overload]
    aelastic.start_processes("w", "true", {0: ()}, {0: {"K": 1}})  # type: ignore[dict-item]


async def a_context_answers(ctx: PContext) -> None:
    assert_type(await ctx.wait(), RunProcsResult | None)
    assert_type(await ctx.wait(1), RunProcsResult | None)
    assert_type(await ctx.wait(timeout=0.5), RunProcsResult | None)
    assert_type(ctx.result, RunProcsResult | None)
    assert_type(ctx.pids(), dict[int, int])
    assert_type(ctx.snapshot(), dict[int, aelastic.RankSnapshot])
    assert_type(ctx.name, str)
    assert_type(ctx.nprocs, int)
    assert_type(ctx.stdouts, dict[int, str])
    assert_type(ctx.stderrs, dict[int, str])
    assert_type(ctx.error_files, dict[int, str])
    closing: Coroutine[Any, Any, None] = ctx.close(signal.SIGINT, 5)
    await closing
    signalling: Callable[[int, int | None], None] = ctx.send_signal
    signalling(signal.SIGUSR1, None)


async def a_context_becomes_ready(ctx: PContext) -> None:
    assert_type(await ctx.ready(), None)
    await ctx.ready(5, rank=0)
    await ctx.ready(timeout=0.5)
    one = ctx.snapshot()[0]
    assert_type(one.ready, bool)
    assert_type(one.status, str)
    assert_type(one.progress, aelastic.RankProgress | None)


def readiness_is_a_word() -> None:
    words: list[aelastic.Readiness] = [
        aelastic.Notify(),
        aelastic.LogProbe("x", Std.ERR),
        aelastic.LogProbe(re.compile("x")),
        aelastic.TcpProbe(80, "::1", owned=False, interval=0.5, timeout=2),
        aelastic.HttpProbe("http://h/", verify=False),
        aelastic.ExecProbe(["true"], timeout=3),
    ]
    for word in words:
        aelastic.start_processes("w", "true", {0: ()}, {0: {}}, readiness=word)
    aelastic.start_processes("w", "true", {0: ()}, {0: {}}, readiness="ready")  # type: ignore[call-overload]
    aelastic.TcpProbe(80, "h", True)  # type: ignore[call-arg]


def a_rank_tells_how_it_goes() -> None:
    rank.ready()
    rank.status("x")
    rank.progress(1)
    rank.progress(0.5, 2)
    rank.heartbeat()
    rank.stopping()
    assert_type(rank.rank(), int)
    assert_type(rank.world_size(), int)
    assert_type(rank.watchdog_interval(), float | None)
    rank.status(5)  # type: ignore[arg-type]


def an_error_of_waiting_answers(error: aelastic.NotReadyError) -> None:
    assert_type(error.rank, int)
    assert_type(error.exitcode, int | None)
    assert_type(error.last_lines, str)


async def a_context_can_be_watched(ctx: PContext) -> None:
    async for line in ctx.logs(rank=0, stream=Std.ERR, capacity=5):
        assert_type(line, LogLine)
        assert_type(line.stream, Std)
        assert_type(line.text, str)
    async for event in ctx.events():
        assert_type(event, Event)
        assert_type(event.to_dict(), dict[str, Any])
        if isinstance(event, aelastic.RunFinished):
            assert_type(event.result, RunProcsResult)
    assert_type(ctx.logs(), aelastic.Subscription[LogLine])
    _: AsyncIterator[Event] = ctx.events()


async def a_supervisor_is_like_a_context() -> None:
    policy = aelastic.RestartPolicy("always", max_restarts=None, period=60, backoff=0.5, jitter=0.2, retry_start=True)
    supervisor = aelastic.Supervisor(
        "w",
        "true",
        {0: ("a", 1)},
        {0: {"K": "v"}},
        aelastic.DefaultLogsSpecs(keep_attempts=5),
        strategy="one_for_one",
        restart=policy,
        log_line_prefixes={0: ">"},
        start_method="fork",
        numa_options=None,
        duplicate_stdout_filters=["x"],
        death_sig=signal.SIGINT,
        shutdown_timeout=5,
        drain_timeout=0.5,
        failure_grace=1,
        preload=["json"],
    )
    async with supervisor as entered:
        assert_type(entered, aelastic.Supervisor)
        assert_type(await entered.wait(), RunProcsResult)
        assert_type(await entered.wait(timeout=None), RunProcsResult)
        assert_type(await entered.wait(5), RunProcsResult | None)
    assert_type(await supervisor.start(), aelastic.Supervisor)
    assert_type(supervisor.result, RunProcsResult | None)
    assert_type(supervisor.pids(), dict[int, int])
    assert_type(supervisor.snapshot(), dict[int, aelastic.RankSnapshot])
    assert_type(supervisor.events(), aelastic.Subscription[Event])
    assert_type(supervisor.logs(rank=0, stream=Std.OUT, capacity=5), aelastic.Subscription[LogLine])
    with aelastic.handle_signals(supervisor) as received:
        assert_type(received.signal, signal.Signals | None)
    aelastic.Supervisor("w", print, {0: ()}, {0: {}}, strategy="all_for_one")  # type: ignore[arg-type]
    aelastic.Supervisor("w", print, {0: ()}, {0: {}}, shutdown="5")  # type: ignore[call-arg]
    aelastic.RestartPolicy(when="sometimes")  # type: ignore[arg-type]


async def one_rank_is_controlled(supervisor: aelastic.Supervisor) -> None:
    assert_type(await supervisor.start(3), aelastic.Supervisor)
    await supervisor.stop(3)
    await supervisor.restart(3)
    await supervisor.restart()
    await supervisor.scale(5, args={4: ("a",)}, envs={4: {}})
    await supervisor.replace(3, timeout=5)
    await supervisor.replace()
    await supervisor.ready(timeout=5, rank=3)
    await supervisor.ready()
    await supervisor.close(signal.SIGINT, 5)
    supervisor.request_stop(signal.SIGINT, 5)
    supervisor.send_signal(signal.SIGUSR1, 3)
    await supervisor.stop()  # type: ignore[call-arg]
    await supervisor.replace("3")  # type: ignore[arg-type]


def ranks_share_sockets(one: socket.socket) -> None:
    aelastic.start_processes("w", "true", {0: ()}, {0: {}}, sockets=[one])
    aelastic.start_processes("w", "true", {0: ()}, {0: {}}, sockets={"http": one})
    aelastic.Supervisor("w", "true", {0: ()}, {0: {}}, sockets=(one,))
    aelastic.Supervisor("w", "true", {0: ()}, {0: {}}, sockets=[one.fileno()])  # type: ignore[list-item]


def an_event_answers(event: Event) -> None:
    assert_type(event.to_dict(), dict[str, Any])
    assert_type(event.time, float)
    if isinstance(event, aelastic.RankRestarting):
        assert_type(event.delay, float)


async def events_are_logged(
    supervisor: aelastic.Supervisor, ctx: PContext, adapter: logging.LoggerAdapter[Any]
) -> None:
    await aelastic.log_events(supervisor.events())
    await aelastic.log_events(ctx.events(), logging.getLogger("mine"))
    await aelastic.log_events(ctx.events(), adapter)
    aelastic.log_event(aelastic.GaveUp("why", 0.0), logging.getLogger("mine"))


def an_attempt_answers(result: RunProcsResult) -> None:
    assert_type(result.attempts, tuple[aelastic.Attempt, ...])
    assert_type(result.restarts, int)
    assert_type(result.gave_up, str)
    for attempt in result.attempts:
        assert_type(attempt.number, int)
        assert_type(attempt.ranks, tuple[int, ...])
        assert_type(attempt.failures, dict[int, aelastic.ProcessFailure])


def a_result_answers(result: RunProcsResult) -> None:
    assert_type(result.is_failed(), bool)
    assert_type(result.return_values, dict[int, Any])
    assert_type(result.failures, dict[int, aelastic.ProcessFailure])
    assert_type(result.first_failure, aelastic.ProcessFailure | None)
    assert_type(result.exitcodes, dict[int, int])
    assert_type(result.abandoned, dict[int, int])
    result.name = "other"  # type: ignore[misc]


def an_error_answers(error: aelastic.ChildFailedError) -> None:
    assert_type(error.get_first_failure(), tuple[int, aelastic.ProcessFailure])
    assert_type(error.failures, dict[int, aelastic.ProcessFailure])
    _: aelastic.AelasticError = error


def record_keeps_the_signature() -> None:
    @record
    def main(path: str, *, epochs: int = 1) -> int:
        return len(path) * epochs

    assert_type(main("x", epochs=3), int | None)
    main(5)  # type: ignore[arg-type]
    main("x", lr=1)  # type: ignore[call-arg]


async def record_keeps_a_coroutine() -> None:
    @record
    async def main(path: str) -> int:
        return len(path)

    assert_type(await main("x"), int | None)
    assert_type(asyncio.run(main("x")), int | None)
    await main(5)  # type: ignore[arg-type]


def record_knows_that_an_exit_may_be_clean() -> None:
    @record
    def main() -> NoReturn:
        sys.exit(0)

    main()
    print("this is reached")


def a_name_that_is_not_public_is_an_error() -> None:
    _ = aelastic.errors.nothing  # type: ignore[attr-defined]


def record_takes_a_handler(handler: aelastic.ErrorHandler) -> None:
    assert_type(record(len, handler)("x"), int | None)
    assert_type(aelastic.get_error_handler(), aelastic.ErrorHandler)


def streams_are_flags() -> None:
    assert_type(Std.from_str("3"), Std | dict[int, Std])
    assert_type(aelastic.to_map(Std.OUT, 2), dict[int, Std])
    aelastic.to_map({0: Std.OUT}, 2)
    aelastic.DefaultLogsSpecs("logs", redirects=Std.ALL, tee={0: Std.OUT}, local_ranks_filter={0})


class Mine(aelastic.LogsSpecs):
    """Specs of one's own need ``reify`` and ``root_log_dir``, as torch's."""

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        return aelastic.LogsDest(stdouts=dict.fromkeys(envs, ""))

    @property
    def root_log_dir(self) -> str:
        return ""


async def a_service_has_ranks(request: Request) -> None:
    def context() -> AbstractAsyncContextManager[PContext]:
        return aelastic.start_processes("w", "true", {0: ()}, {0: {}})

    def supervisor() -> aelastic.Supervisor:
        return aelastic.Supervisor("w", "true", {0: ()}, {0: {}})

    lifespan = aelastic.web.lifespan(context)
    assert_type(lifespan, aelastic.web.Lifespan)
    for source in (lifespan, aelastic.web.lifespan(supervisor, "workers"), supervisor(), supervisor):
        aelastic.web.dashboard(source)
    aelastic.web.dashboard({"a": supervisor(), "b": lifespan}, token="0123456789abcdef")  # noqa: S106
    aelastic.web.dashboard(lambda: None)
    aelastic.web.lifespan(lambda: aelastic.start_processes("w", "true", {0: ()}, {0: {}}))
    ctx = await aelastic.start_processes("w", "true", {0: ()}, {0: {}})
    assert_type(await aelastic.web.until_disconnect(request, ctx.wait()), RunProcsResult | None)


def a_script_needs_no_loop(specs: aelastic.LogsSpecs) -> None:
    ctx = aelastic.sync.start_processes("w", "true", {0: ("a",)}, {0: {}}, specs, {0: ">"}, "spawn", None, ["x"], ["y"])
    assert_type(ctx, aelastic.sync.SubprocessContext)
    with aelastic.sync.start_processes("w", len, {0: ("a",)}, {0: {}}, shutdown_timeout=5, watchdog=None) as functions:
        assert_type(functions, aelastic.sync.MultiprocessContext)
    assert_type(ctx.start(), aelastic.sync.SubprocessContext)
    assert_type(ctx.wait(-1, 1), RunProcsResult | None)
    assert_type(ctx.pids(), dict[int, int])
    assert_type(ctx.snapshot(), dict[int, aelastic.RankSnapshot])
    assert_type(next(ctx.logs(0, Std.OUT)), LogLine)
    for event in ctx.events():
        assert_type(event, Event)
    assert_type(ctx.close(signal.SIGINT, timeout=30), None)
    aelastic.sync.start_processes("w", "true", {0: ()}, {0: {}}, patience=3)  # type: ignore[call-overload]


async def a_test_has_ranks(ranks: aelastic.testing.Ranks) -> None:
    ctx = await ranks.start("w", "true", {0: ()}, readiness=aelastic.Notify(), shutdown_timeout=1)
    assert_type(ctx, PContext)
    sup = await ranks.supervise("w", "true", {0: ()}, {0: {}}, strategy="one_for_one")
    assert_type(sup, aelastic.Supervisor)
    assert_type(await ranks.line(ctx, re.compile("x"), rank=0), LogLine)
    assert_type(await ranks.kill(sup, 0, after="x"), None)
    assert_type(await aelastic.testing.freeze(ctx, 0), None)
    assert_type(ranks.port(), int)
    assert_type(ranks.report(), str)


def tests_share_services(services: aelastic.testing.Services) -> None:
    service = services.start("w", "true", {0: ()})
    assert_type(service.wait(0), RunProcsResult | None)
    assert_type(services.port(), int)
