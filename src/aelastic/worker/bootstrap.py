"""The first code of a rank that runs a Python function. Standard library only, and little of it.

The interpreter is started with ``command_line``; what it is to run comes through a pipe: a ``dict`` that prepares the
interpreter, then the function with its arguments. The value goes back through another pipe: its pickle, then the token
that the supervisor chose, so that half a value is never taken for one.
"""

from __future__ import annotations

import os
import pickle
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the import
_importing_main = False


def command_line(payload_end: int, value_end: int, cpus: frozenset[int] | None) -> tuple[str, ...]:
    """What follows the interpreter's name and flags: two descriptors that it inherits, and where it may run."""
    where = None if cpus is None else set(cpus)
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lines = (
        f"import sys; sys.path.insert(0, {home!r})",
        "from aelastic.worker.bootstrap import main",
        f"main({payload_end}, {value_end}, {where})",
    )
    return "-c", "; ".join(lines)


def main(payload_end: int, value_end: int, cpus: set[int] | None) -> None:
    """Receive the function, run it on ``cpus`` (None: anywhere), and deliver its value."""
    from aelastic.errors.handler import record

    if cpus is not None:
        os.sched_setaffinity(0, cpus)

    os.set_inheritable(payload_end, False)
    os.set_inheritable(value_end, False)
    introduce()
    record(_receive_and_run)(payload_end, value_end)


def run_and_deliver(function: Callable[..., Any], args: Sequence[Any], value_end: int, token: bytes) -> None:
    """Call ``function``; write its value and ``token`` to the descriptor ``value_end``, and close it.

    ``sys.exit()`` and ``sys.exit(0)`` deliver None. Whatever else the function raises goes on its way.
    """
    try:
        value = _call(function, args)
    except SystemExit as exit_:
        if exit_.code not in (0, None):
            raise
        value = None
    with open(value_end, "wb") as pipe:
        pickle.dump(value, pipe, protocol=pickle.HIGHEST_PROTOCOL)
        pipe.write(token)


def introduce() -> None:
    """Where the supervisor listens, tell it how to get at the stacks of this rank."""
    if "NOTIFY_SOCKET" in os.environ:
        from aelastic.rank import offer_stacks

        offer_stacks()


def is_importing_main() -> bool:
    """Whether this process is a rank that is just importing the main module of its supervisor."""
    return _importing_main


def _receive_and_run(payload_end: int, value_end: int) -> None:
    with open(payload_end, "rb") as payload:
        setup = pickle.load(payload)  # noqa: S301 - from our supervisor, through a pipe of its own
        _prepare(setup)
        function, args = pickle.load(payload)  # noqa: S301
    run_and_deliver(function, args, value_end, setup["token"])


def _prepare(setup: Mapping[str, Any]) -> None:
    """Make this interpreter like the supervisor's, as far as unpickling needs it."""
    sys.path[:] = setup["sys_path"]
    sys.argv[:] = setup["argv"]
    if setup["multiprocessing"]:
        _prepare_multiprocessing(setup)
    if setup["main_name"] or setup["main_path"]:
        _import_main(setup["main_name"], setup["main_path"])


def _prepare_multiprocessing(setup: Mapping[str, Any]) -> None:
    """Let multiprocessing's own objects arrive, as they do with ``multiprocessing.Process``."""
    import multiprocessing
    from multiprocessing import resource_tracker

    multiprocessing.current_process().authkey = setup["authkey"]
    multiprocessing.current_process().name = setup["name"]
    multiprocessing.set_start_method("spawn", force=True)
    if setup["tracker"] is not None:
        resource_tracker._resource_tracker._fd = setup["tracker"]  # type: ignore[attr-defined]


def _import_main(name: str | None, path: str | None) -> None:
    """Import the supervisor's main module under multiprocessing's name for it, so that it does not start anew."""
    import runpy
    import types

    global _importing_main
    _importing_main = True
    main_module = types.ModuleType("__mp_main__")
    try:
        if name:
            content = runpy.run_module(name, run_name="__mp_main__", alter_sys=True)
        else:
            content = runpy.run_path(path or "", run_name="__mp_main__")
    finally:
        _importing_main = False
    main_module.__dict__.update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main_module


def _call(function: Callable[..., Any], args: Sequence[Any]) -> Any:
    code = getattr(function, "__code__", None)
    if not getattr(code, "co_flags", 0) & _CO_COROUTINE:
        return function(*args)
    from aelastic.worker.coroutine import run_coroutine

    return run_coroutine(function(*args))
