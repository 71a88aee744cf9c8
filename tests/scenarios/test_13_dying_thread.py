"""13. Ranks are started from threads that end: they live on, and nothing of the application's signals is touched."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from tests.helpers.apps import LOOPS, new_loop, run_on
from tests.helpers.ranks import is_alive, line_of, redirected, shell
from tests.scenarios import vices
from tests.scenarios.kinds import each_kind, each_method, ranks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aelastic
    from tests.scenarios.kinds import Kind, Method

pytestmark = pytest.mark.filterwarnings("ignore:start_method='fork'")  # there is always the main thread

each_loop = pytest.mark.parametrize("loop", LOOPS)


def handlers() -> dict[int, Any]:
    """Every signal handler, and the descriptor that a signal wakes the loop by."""
    wakeup = -1
    if threading.current_thread() is threading.main_thread():
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
    return {number: signal.getsignal(number) for number in signal.valid_signals()} | {0: wakeup}


def in_thread(work: Callable[[], Any]) -> Any:
    """What ``work`` returns, or raises, in a thread that has ended."""
    ends: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            ends.append((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised below
            ends.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((value, error),) = ends
    if error is not None:
        raise error
    return value


async def started(kind: Kind, tmp_path: Path) -> aelastic.PContext:
    """Two ranks that sleep, and are ready."""
    ctx = await ranks(kind, vices.ready_and_stays, (), (), logs_specs=redirected(tmp_path))
    for rank in range(2):
        await line_of(ctx, "ready", rank)
    return ctx


@each_kind
@each_loop
def test_ranks_outlive_the_thread_that_started_them(loop: str, kind: Kind, tmp_path: Path) -> None:
    """The loop goes on in another thread: as in notebooks, and where a service is started by a helper thread."""
    before = handlers()
    home = new_loop(loop)
    ctx = in_thread(lambda: home.run_until_complete(started(kind, tmp_path)))
    assert in_thread(lambda: home.run_until_complete(ctx.wait(0.1))) is None
    assert all(map(is_alive, ctx.pids().values()))
    assert handlers() == before
    ctx.send_signal(signal.SIGKILL, rank=0)
    result = home.run_until_complete(ctx.wait())
    assert result is not None
    assert result.exitcodes == {0: -signal.SIGKILL, 1: -signal.SIGTERM}
    assert result.first_failure is result.failures[0]
    home.run_until_complete(ctx.close())
    home.run_until_complete(home.shutdown_default_executor())
    home.close()
    assert handlers() == before


async def whole_life(kind: Kind, tmp_path: Path) -> None:
    """A run that is closed, and one that ends."""
    before = handlers()
    ctx = await started(kind, tmp_path)
    assert await ctx.wait(0.01) is None
    assert all(map(is_alive, ctx.pids().values()))
    assert handlers() == before
    await ctx.close()
    async with ranks(kind, vices.is_short, (0,), (0, "exits", 3)) as short:
        result = await short.wait()
    assert result is not None
    assert result.exitcodes[1] == 3
    assert handlers() == before


@each_kind
@each_loop
def test_a_loop_in_another_thread(loop: str, kind: Kind, tmp_path: Path) -> None:
    before = handlers()
    in_thread(lambda: run_on(loop, whole_life(kind, tmp_path)))
    assert handlers() == before


@pytest.mark.asyncio
@each_kind
async def test_a_loop_in_a_worker_thread_of_a_loop(kind: Kind, tmp_path: Path) -> None:
    """As users of blocking interfaces do it; anyio ends its worker threads when it likes."""
    before = handlers()
    await asyncio.to_thread(lambda: asyncio.run(whole_life(kind, tmp_path / "asyncio")))
    await anyio.to_thread.run_sync(lambda: anyio.run(whole_life, kind, tmp_path / "anyio"))
    assert handlers() == before


@each_method
def test_ranks_outlive_the_helper_threads_of_their_run(method: Method) -> None:
    """One of them has talked to the fork server."""

    async def main() -> None:
        before = set(threading.enumerate())
        async with ranks(method, vices.stay, ()) as ctx:
            assert ctx._run is not None
            await asyncio.to_thread(ctx._run._executor.shutdown)
            assert not [thread for thread in set(threading.enumerate()) - before if "files" in thread.name]
            assert await ctx.wait(0.05) is None
            assert is_alive(ctx.pids()[0])
            ctx._run._executor = ctx._run.containment._executor = type(ctx._run._executor)(max_workers=1)

    in_thread(lambda: asyncio.run(main()))


@pytest.mark.asyncio
@each_kind
async def test_t01_signal_handlers_are_what_they_were(kind: Kind, tmp_path: Path) -> None:
    """torch replaces four handlers when it starts and never puts them back."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: None)  # the application's own
    before = handlers()
    ctx = await started(kind, tmp_path)
    assert handlers() == before
    await ctx.close()
    assert handlers() == before
    loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.asyncio
async def test_sixty_four_ranks_from_a_thread_that_ends() -> None:
    home = new_loop("asyncio")
    ctx = await asyncio.to_thread(lambda: home.run_until_complete(shell(*["exec sleep 600"] * 64).__aenter__()))
    assert all(map(is_alive, ctx.pids().values()))
    await asyncio.to_thread(lambda: home.run_until_complete(ctx.close()))
    home.close()
    assert ctx.result is not None
    assert ctx.result.exitcodes == dict.fromkeys(range(64), -signal.SIGTERM)
