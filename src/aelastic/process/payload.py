"""Packing a function and its arguments for a fresh interpreter."""

from __future__ import annotations

import io
import os
import pickle
import sys
from dataclasses import dataclass
from multiprocessing import context, current_process
from multiprocessing.popen_spawn_posix import _DupFd  # how multiprocessing sends descriptors
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

import cloudpickle

from aelastic.errors.base import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Payload:
    """What a rank receives, the descriptors it must inherit for that, and what ends its value."""

    data: bytes
    descriptors: tuple[int, ...]
    token: bytes


def pack(rank: int, name: str, function: Callable[..., Any], args: Sequence[Any]) -> Payload:
    """Pack ``function`` and ``args`` for ``rank``.

    By reference where the rank can import them, as multiprocessing does, with multiprocessing's own objects; else by
    value (lambdas, closures, what is defined in a notebook or in ``python -c``).

    Raises ``InvalidArgumentError`` naming the argument that cannot be pickled.
    """
    descriptors = _Descriptors()
    context.set_spawning_popen(descriptors)  # type: ignore[arg-type]  # it asks no more of it than this
    try:
        by_reference, data = _dump(function, args, lambda: descriptors.sent.clear())
    except Exception as error:
        culprit = _culprit(rank, function, args)
        raise InvalidArgumentError(f"{culprit} cannot be pickled: {error}") from error
    finally:
        context.set_spawning_popen(None)
    token = new_token()
    tracker = _resource_tracker()
    setup = {
        "name": f"{name}{rank}",
        "token": token,
        "sys_path": [path or os.getcwd() for path in sys.path],
        "argv": sys.argv,
        "multiprocessing": b"multiprocessing" in data,
        "authkey": bytes(current_process().authkey),
        "tracker": tracker,
        **(_main_module() if by_reference and b"__main__" in data else {"main_name": None, "main_path": None}),
    }
    inherited = (*descriptors.sent, *(() if tracker is None else (tracker,)))
    return Payload(cloudpickle.dumps(setup) + data, inherited, token)


class Packed:
    """A function and its arguments on their way through multiprocessing's pickling; a pair when they arrive."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any]) -> None:
        self._function = function
        self._args = args

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        _, data = _dump(self._function, self._args)
        return pickle.loads, (data,)


def new_token() -> bytes:
    """What ends a value: nothing that a function could write by accident."""
    return os.urandom(16)


class _Descriptors:
    """What multiprocessing asks, while it pickles, to have descriptors sent."""

    DupFd = _DupFd

    def __init__(self) -> None:
        self.sent: list[int] = []

    def duplicate_for_child(self, descriptor: int) -> int:
        self.sent.append(descriptor)
        return descriptor


def _dump(
    function: Callable[..., Any], args: Sequence[Any], forget: Callable[[], None] = lambda: None
) -> tuple[bool, bytes]:
    """Whether the pickle is by reference, and the pickle. ``forget`` what a failed attempt has asked to be sent."""
    if not _is_stranger(function):
        try:
            return True, _pickle_by_reference((function, tuple(args)))
        except Exception:  # noqa: BLE001 - anything may be raised by pickling; by value it may work
            forget()
    return False, _pickle_by_value((function, tuple(args)))


def _pickle_by_reference(value: object) -> bytes:
    return bytes(ForkingPickler.dumps(value))


def _pickle_by_value(value: object) -> bytes:
    buffer = io.BytesIO()
    pickler = cloudpickle.Pickler(buffer)
    pickler.dispatch_table = pickler.dispatch_table.new_child(ForkingPickler(io.BytesIO()).dispatch_table)
    pickler.dump(value)
    return buffer.getvalue()


def _culprit(rank: int, function: Callable[..., Any], args: Sequence[Any]) -> str:
    for index, arg in enumerate(args):
        try:
            _pickle_by_value(arg)
        except Exception:  # noqa: BLE001 - anything may be raised by pickling
            return f"args[{rank}][{index}]"
    return f"entrypoint {getattr(function, '__qualname__', function)!r}"


def _is_stranger(function: Callable[..., Any]) -> bool:
    """Whether ``function`` is in a main module that no other process can import."""
    main = _main_module()
    return function.__module__ == "__main__" and not (main["main_name"] or main["main_path"])


def _main_module() -> dict[str, str | None]:
    """How a rank can import this process's main module: by name, by path, or not at all."""
    main = sys.modules["__main__"]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return {"main_name": spec.name, "main_path": None}
    importable = path is not None and os.path.isfile(path)
    return {"main_name": None, "main_path": os.path.abspath(path) if importable and path else None}


def _resource_tracker() -> int | None:
    """The descriptor of multiprocessing's resource tracker, if this process has one."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    return getattr(tracker, "_fd", None)
