"""Sending a standard stream of this process to a file for a while. For use inside a rank; torch's names."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = {"stdout": 1, "stderr": 2}


def redirect(std: str, to_file: str) -> contextlib.AbstractContextManager[None]:
    """Send ``std`` (``"stdout"`` or ``"stderr"``) to ``to_file`` for the length of the ``with`` block.

    What Python prints, what C code prints and what child processes print, of the whole process: it is the descriptor
    that is redirected. The file is emptied first; its directory must exist. Blocks may be nested.

    Raises ``ValueError`` for another stream and ``OSError`` when the file cannot be opened.
    """
    if std not in _DESCRIPTORS:
        raise ValueError(f"unknown standard stream {std!r}; expected one of {sorted(_DESCRIPTORS)}")
    return _redirected(std, to_file)


def redirect_stdout(to_file: str) -> contextlib.AbstractContextManager[None]:
    """``redirect("stdout", to_file)``."""
    return redirect("stdout", to_file)


def redirect_stderr(to_file: str) -> contextlib.AbstractContextManager[None]:
    """``redirect("stderr", to_file)``."""
    return redirect("stderr", to_file)


def flush_c_streams() -> None:
    """Write out what C code of this process has printed and still holds. Does nothing where there is no ctypes."""
    try:
        import ctypes

        ctypes.CDLL(None).fflush(None)
    except (ImportError, OSError, AttributeError):
        return


@contextmanager
def _redirected(std: str, to_file: str) -> Iterator[None]:
    descriptor = _DESCRIPTORS[std]
    with _opened(to_file) as target, _kept(descriptor) as original:
        try:
            _switch(std, descriptor, target)
            with _python_stream_on(std, descriptor):
                yield
        finally:
            _switch(std, descriptor, original)


def _switch(std: str, descriptor: int, target: int) -> None:
    """Lead ``descriptor`` to where ``target`` leads; what was printed before goes where it led before."""
    try:
        flush_c_streams()
        with contextlib.suppress(AttributeError, ValueError):  # absent or closed
            getattr(sys, std).flush()
    finally:
        os.dup2(target, descriptor)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _kept(descriptor: int) -> Iterator[int]:
    duplicate = os.dup(descriptor)
    try:
        yield duplicate
    finally:
        os.close(duplicate)


@contextmanager
def _python_stream_on(std: str, descriptor: int) -> Iterator[None]:
    """Make ``sys.<std>`` write to ``descriptor``, when it writes elsewhere: captured by a test, or absent."""
    stream = getattr(sys, std)
    if _descriptor_of(stream) == descriptor:
        yield
        return
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False) as own:
        setattr(sys, std, own)
        try:
            yield
        finally:
            setattr(sys, std, stream)


def _descriptor_of(stream: object) -> int | None:
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None
