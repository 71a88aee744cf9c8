"""A context for callers without a loop: every call blocks its thread, and the ranks live on a loop of their own."""

from __future__ import annotations

import contextlib
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aelastic.conduct.portal import Portal
from aelastic.errors.base import NotRunningError
from aelastic.process.forked import WAITING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from aelastic.conduct.containment import Mode
    from aelastic.conduct.context import PContext
    from aelastic.events import Event, LogLine, RankSnapshot
    from aelastic.logs.subscription import Subscription
    from aelastic.results import RunProcsResult
    from aelastic.std import Std

_T = TypeVar("_T")


class BlockingContext:
    """``context``, driven from threads. Its calls mean what they mean there, and may be made by any thread.

    The loop lives from ``start`` to ``close``, in a daemon thread. Whatever interrupts ``start`` or ``wait`` (Ctrl-C,
    a signal handler that raises, a test's timeout) stops the ranks by the ladder before it leaves; a second one kills
    them, a third does not wait. Dropped, or when the interpreter ends, it stops its ranks as ``context`` does.
    """

    def __init__(self, context: PContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._portal: Portal | None = None

    def start(self) -> Self:
        """Start every rank, or none. Raises as ``PContext.start``."""
        if not self._open_portal():
            self._await(self._context.start)  # refuses, since it was started before
        WAITING.add(threading.current_thread())
        try:
            self._stopping_when_interrupted(self._context.start)
        except BaseException:
            self._close_portal()
            raise
        finally:
            WAITING.discard(threading.current_thread())
        return self

    def wait(self, timeout: float | None = None) -> RunProcsResult | None:
        """Wait until every rank has ended. ``timeout`` in seconds: None or negative waits until then, 0 asks once."""
        if self._context.result is not None:
            return self._context.result
        return self._stopping_when_interrupted(self._context.wait, timeout)

    def ready(self, timeout: float | None = None, rank: int | None = None) -> None:
        """Wait until every rank, or ``rank``, has become ready; see ``PContext.ready``."""
        self._await(self._context.ready, timeout, rank)

    def close(self, death_sig: int | None = None, timeout: float | None = None) -> None:
        """Stop every rank: ``death_sig``, at most ``timeout`` seconds of grace, then SIGKILL; None: as constructed.

        Can be called at any time, and again. An interrupt kills what is left.
        """
        if self._portal is not None and self._portal.is_ours:
            with contextlib.suppress(NotRunningError):  # another thread was faster
                self._close(death_sig, timeout)
            self._close_portal()

    def send_signal(self, sig: int, rank: int | None = None) -> None:
        """Send ``sig`` to ``rank`` and what it has started, or to every rank. This is no request to stop."""
        self._look(self._context.send_signal, sig, rank)

    def events(self) -> BlockingIterator[Event]:
        """An iterator over everything that has happened and will happen, until the run is finished."""
        return BlockingIterator(self._await, self._look(self._context.events))

    def logs(self, rank: int | None = None, stream: Std | None = None) -> BlockingIterator[LogLine]:
        """An iterator over the captured lines, of one rank or of all; see ``PContext.logs``."""
        args = () if stream is None else (stream,)
        return BlockingIterator(self._await, self._look(self._context.logs, rank, *args))

    def snapshot(self) -> dict[int, RankSnapshot]:
        """Every rank as it is now."""
        return self._look(self._context.snapshot)

    # What does not change any more, and can be read from here

    def pids(self) -> dict[int, int]:
        """The pid of every rank that was started."""
        return self._context.pids()

    @property
    def result(self) -> RunProcsResult | None:
        """The result, once there is one."""
        return self._context.result

    @property
    def name(self) -> str:
        """The name given at the start."""
        return self._context.name

    @property
    def nprocs(self) -> int:
        """How many ranks there are."""
        return self._context.nprocs

    @property
    def entrypoint(self) -> Callable[..., Any] | str:
        """What the ranks run."""
        return self._context.entrypoint

    @property
    def args(self) -> Mapping[int, Any]:
        """Arguments by local rank."""
        return self._context.args

    @property
    def envs(self) -> Mapping[int, Mapping[str, str]]:
        """What was added to the environment, by local rank."""
        return self._context.envs

    @property
    def stdouts(self) -> dict[int, str]:
        """Log file of standard output by rank, ``""`` where it goes to the console. Empty before the start."""
        return self._context.stdouts

    @property
    def stderrs(self) -> dict[int, str]:
        """Log file of standard error by rank, ``""`` where it goes to the console. Empty before the start."""
        return self._context.stderrs

    @property
    def error_files(self) -> dict[int, str]:
        """Error file by rank. Empty before the start."""
        return self._context.error_files

    @property
    def containment(self) -> Mode | None:
        """The containment that is in effect; None before the start."""
        return self._context.containment

    def __enter__(self) -> Self:
        return self.start() if self._portal is None else self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, function: Callable[..., Awaitable[_T]], *args: Any) -> Future[_T]:
        portal = self._portal
        if portal is None:
            raise NotRunningError(f"{self.name!r} was not started, or is closed")
        return portal.submit(function, *args)

    def _look(self, function: Callable[..., _T], *args: Any) -> _T:
        """Call ``function`` in the loop."""
        answer: _T = self._await(_in_loop, function, *args)
        return answer

    def _await(self, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """Await ``function`` in the loop. An interrupt leaves the ranks as they are."""
        future = self._submit(function, *args)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stopping_when_interrupted(self, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        future: Future[_T] | None = None
        try:
            future = self._submit(function, *args)
            return future.result()
        except NotRunningError:
            raise
        except BaseException as error:
            if not _is_outcome(error, future):
                self._close(getattr(error, "sigval", None), None)  # a SignalException says which signal it was
            raise

    def _close(self, death_sig: int | None, timeout: float | None) -> None:
        """Stop the ranks; an interrupt kills them, and leaves when they are gone, another one leaves at once."""
        closing = self._submit(self._context.close, death_sig, timeout)
        try:
            closing.result()
        except BaseException as error:
            if not _is_outcome(error, closing):
                closing.cancel()
                self._submit(self._context.close, signal.SIGKILL).result()
            raise

    def _open_portal(self) -> bool:
        """Whether it was not open yet."""
        with self._lock:
            if self._portal is not None:
                return False
            self._portal = Portal(self._context.name)
            weakref.finalize(self, self._portal.end_soon)
            return True

    def _close_portal(self) -> None:
        with self._lock:
            portal, self._portal = self._portal, None
        if portal is not None:
            portal.close()


class BlockingIterator(Generic[_T]):
    """An iterator over what ``subscription``, which lives in the loop, has to give. ``close()`` ends it."""

    def __init__(self, await_: Callable[..., Any], subscription: Subscription[_T]) -> None:
        self._await = await_
        self._subscription = subscription

    @property
    def dropped(self) -> int:
        """How many items this consumer was too slow for."""
        return self._subscription.dropped

    def take(self) -> list[_T]:
        """What waits to be consumed by now."""
        taken: list[_T] = self._await(_in_loop, self._subscription.take)
        return taken

    def close(self) -> None:
        """Get nothing more; what is waiting can still be consumed."""
        self._await(_in_loop, self._subscription.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        try:
            item: _T = self._await(self._subscription.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None
        return item


async def _in_loop(function: Callable[..., _T], *args: Any) -> _T:
    return function(*args)


def _is_outcome(error: BaseException, future: Future[Any] | None) -> bool:
    """Whether ``error`` is what was called for ended with, rather than what interrupted the waiting for it."""
    return future is not None and future.done() and not future.cancelled() and future.exception() is error
