"""Writing the error file of a rank. Runs inside the rank, so it imports little."""

from __future__ import annotations

import faulthandler
import functools
import os
import stat
import time
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aelastic.errors.report import Report, Unreadable

_P = ParamSpec("_P")
_R = TypeVar("_R")

PRIVATE_LOGS = "AELASTIC_PRIVATE_LOGS"  # "0": the umask decides who may read the error file

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE; importing inspect would be the dearest import of a rank


class ErrorHandler:
    """Writes an exception as JSON to the file that ``TORCHELASTIC_ERROR_FILE`` names, in torch's format.

    The variable is read when something is written; unset or empty, nothing is. Subclasses may override
    ``initialize()`` and ``record_exception()``.
    """

    def initialize(self) -> None:
        """Called before the recorded function: prints the stacks of all threads on a fatal signal."""
        try:
            faulthandler.enable(all_threads=True)
        except (AttributeError, OSError, ValueError, RuntimeError) as error:  # stderr is closed, or no real file
            _warn("cannot enable the fault handler: %s", error)

    def record_exception(self, e: BaseException) -> None:
        """Write ``e`` with its own traceback, notes and causes."""
        from traceback import TracebackException

        told = TracebackException.from_exception(e)
        now = time.time_ns()
        info = {
            "py_callstack": "".join(told.format()),
            "timestamp": str(now // 1_000_000_000),
            "timestamp_ns": now,
            "notes": _notes(e),
        }
        self._write({"message": {"message": f"{type(e).__name__}: {told}", "extraInfo": info}})

    def override_error_code_in_rootcause_data(
        self, rootcause_error_file: str, rootcause_error: dict[str, Any], error_code: int = 0
    ) -> None:
        """Set ``errorCode`` in a structured message; a plain text has no place for it."""
        message = rootcause_error.get("message")
        if isinstance(message, dict):
            message["errorCode"] = error_code
        else:
            _warn("no place for error code %s in %s", error_code, rootcause_error_file)

    def dump_error_file(self, rootcause_error_file: str, error_code: int = 0) -> bool:
        """Copy a child's error file to this process's own, with ``error_code`` set when it is not 0.

        False, and a warning, when there is no error in the child's file: there is nothing to hand on.
        """
        from aelastic.errors.report import Unreadable

        report = _read(rootcause_error_file)
        if isinstance(report, Unreadable):
            _warn("cannot copy the error file %s: %s", rootcause_error_file, report.problem)
            return False
        if error_code:
            self.override_error_code_in_rootcause_data(rootcause_error_file, report.data, error_code)
        self._write(report.data)
        return True

    def _write(self, data: dict[str, Any]) -> None:
        path = os.environ.get("TORCHELASTIC_ERROR_FILE")
        if path:
            import json

            try:
                _replace(path, json.dumps(data))
            except OSError as error:
                _warn("cannot write the error file %s: %s", path, error)


def get_error_handler() -> ErrorHandler:
    """The handler that ``record`` uses by default."""
    return ErrorHandler()


@overload
def record(  # type: ignore[overload-overlap]  # what never returns would pass for any of these
    fn: Callable[_P, NoReturn], error_handler: ErrorHandler | None = None
) -> Callable[_P, None]: ...


@overload
def record(
    fn: Callable[_P, Coroutine[Any, Any, _R]], error_handler: ErrorHandler | None = None
) -> Callable[_P, Coroutine[Any, Any, _R | None]]: ...


@overload
def record(fn: Callable[_P, _R], error_handler: ErrorHandler | None = None) -> Callable[_P, _R | None]: ...


def record(fn: Callable[_P, Any], error_handler: ErrorHandler | None = None) -> Callable[_P, Any]:
    """Decorate the entry point of a rank so that its exception reaches the supervisor through the error file.

    The exception goes on its way. ``SystemExit`` with 0 or None becomes a plain return of None, another exit code
    passes without a file. A ``ChildFailedError`` (the rank is itself a supervisor) hands on the error file of its
    root cause. Works on plain and on ``async def`` functions.
    """
    handler = error_handler or get_error_handler()

    @functools.wraps(fn)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        handler.initialize()
        try:
            return fn(*args, **kwargs)
        except (SystemExit, Exception) as error:
            if _is_clean(error, handler):
                return None
            raise

    @functools.wraps(fn)
    async def async_wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        handler.initialize()
        try:
            return await fn(*args, **kwargs)
        except (SystemExit, Exception) as error:
            if _is_clean(error, handler):
                return None
            raise

    return async_wrapper if _is_async(fn) else wrapper


def _is_async(fn: Any) -> bool:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return bool(getattr(getattr(fn, "__code__", None), "co_flags", 0) & _CO_COROUTINE)


def _is_clean(error: SystemExit | Exception, handler: ErrorHandler) -> bool:
    """Whether this is no failure at all; if it is one, the handler is told."""
    if isinstance(error, SystemExit):
        return error.code in (0, None)
    first_failure = getattr(error, "get_first_failure", None)  # ChildFailedError, ours or torch's
    failure = first_failure()[1] if first_failure else None
    copied = (
        failure is not None
        and os.path.isfile(failure.error_file)
        and handler.dump_error_file(failure.error_file, failure.exitcode)
    )
    if not copied:
        handler.record_exception(error)
    return False


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)  # anybody may have put anything there
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _read(path: str) -> Report | Unreadable:
    from aelastic.errors.report import LARGEST_REPORT, Unreadable, parse_report

    try:
        if not os.path.isfile(path):  # whoever opens a FIFO waits
            return Unreadable("there is no such file")
        with open(path, "rb") as file:
            return parse_report(file.read(LARGEST_REPORT + 1))
    except OSError as error:
        return Unreadable(f"it cannot be read ({error.strerror})")


def _replace(path: str, text: str) -> None:
    """Write to a temporary name and rename, so that a rank killed half-way leaves no half file."""
    mode = 0o666 if os.environ.get(PRIVATE_LOGS) == "0" else 0o600
    try:
        status = os.stat(path)
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(status.st_mode):
            return  # os.devnull, or a pipe that nobody reads: renaming would replace the device itself
        mode = stat.S_IMODE(status.st_mode)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(text)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):  # the disk is full
            os.remove(temporary)


def _warn(text: str, *values: object) -> None:
    import logging

    logging.getLogger("aelastic").warning(text, *values)
