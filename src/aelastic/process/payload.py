"""Packing a function and its arguments for a fresh interpreter."""

from __future__ import annotations

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

_LARGE = 256 * 1024
_NO_MAIN: dict[str, str | None] = {"main_name": None, "main_path": None}


@dataclass(frozen=True, slots=True)
class Payload:
    """What a rank receives, in parts, the descriptors it must inherit for that, and what ends its value."""

    parts: tuple[bytes, ...]
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
        by_reference, parts = _dump(function, args, lambda: descriptors.sent.clear())
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
        "multiprocessing": _mention(parts, b"multiprocessing"),
        "authkey": bytes(current_process().authkey),
        "tracker": tracker,
        **(_main_module() if by_reference and _mention(parts, b"__main__") else _NO_MAIN),
    }
    inherited = (*descriptors.sent, *(() if tracker is None else (tracker,)))
    return Payload((pickle.dumps(setup), *parts), inherited, token)


class Packed:
    """A function and its arguments on their way through multiprocessing's pickling; a pair when they arrive."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any]) -> None:
        self._function = function
        self._args = args

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        _, parts = _dump(self._function, self._args)
        return pickle.loads, (b"".join(parts),)


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


class _Parts:
    """A file for a pickler, which hands over large ``bytes`` as they are: nothing is copied, ranks share them."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: Any) -> int:
        self.written.append(data if type(data) is bytes else bytes(data))
        return len(data)


def _dump(
    function: Callable[..., Any], args: Sequence[Any], forget: Callable[[], None] = lambda: None
) -> tuple[bool, list[bytes]]:
    """Whether the pickle is by reference, and the pickle. ``forget`` what a failed attempt has asked to be sent."""
    value = (function, tuple(args))
    if not _is_stranger(function):
        try:
            return True, _pickle_by_reference(value)
        except Exception:  # noqa: BLE001 - anything may be raised by pickling; by value it may work
            forget()
    return False, _pickle_by_value(value)


def _pickle_by_reference(value: object) -> list[bytes]:
    parts = _Parts()
    ForkingPickler(parts, pickle.HIGHEST_PROTOCOL).dump(value)
    return parts.written


def _pickle_by_value(value: object) -> list[bytes]:
    parts = _Parts()
    pickler = cloudpickle.Pickler(parts, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = pickler.dispatch_table.new_child(ForkingPickler(_Parts()).dispatch_table)
    pickler.dump(value)
    return parts.written


def _mention(parts: list[bytes], name: bytes) -> bool:
    """Whether the pickle may refer to ``name``. Large parts are the contents of somebody's bytes."""
    return any(name in part for part in parts if len(part) < _LARGE)


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
