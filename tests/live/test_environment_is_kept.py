"""Whatever fails, no value of anybody's environment is in a log record, a warning, an exception or a ``repr``."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import importlib
import logging
import os
import pkgutil
import signal
import sys
import threading
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import pytest_asyncio

import aelastic
from aelastic.conduct import binding
from aelastic.decide.affinity import Topology
from tests.helpers import functions
from tests.helpers.apps import reaped
from tests.helpers.logs import finish
from tests.helpers.ranks import redirected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aelastic.conduct.functions import StartMethod

pytestmark = pytest.mark.asyncio

SECRET = "correct-horse-battery-staple"  # noqa: S105 - nobody's
NODE = aelastic.NumaOptions(aelastic.AffinityMode.NODE)
LENIENT = aelastic.NumaOptions(aelastic.AffinityMode.NODE, should_fall_back_if_binding_fails=True)
RECORDED = """
from aelastic.errors import record
@record
def main():
    raise ValueError("the reason")
main()
"""


def environment(**more: Any) -> dict[str, Any]:
    return {"TOKEN": SECRET, "PATH": f"/{SECRET}:{os.environ['PATH']}", **more}


def said_by(error: BaseException | None) -> Iterator[str]:
    """All that anybody could show of ``error`` and of what led to it."""
    if error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", "")))
        yield "".join(traceback.format_exception(error))
        yield from said_by(error.__cause__)
        yield from said_by(error.__context__)


class Ear:
    """Hears everything; every callback of the loop is logged, with its ``repr``."""

    def __init__(self, caplog: pytest.LogCaptureFixture, warned: list[warnings.WarningMessage]) -> None:
        self._caplog = caplog
        self._warned = warned
        self._said: list[str] = []

    def note(self, *said: object) -> None:
        self._said += (text for one in said for text in (str(one), repr(one)))

    def note_error(self, error: BaseException) -> None:
        self._said += said_by(error)

    def heard(self) -> list[str]:
        records = [f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in self._caplog.records]
        errors = [text for record in self._caplog.records if record.exc_info for text in said_by(record.exc_info[1])]
        return [*self._said, *records, *errors, *(f"{one.message} {one.message!r}" for one in self._warned)]

    def leaks(self) -> list[str]:
        return [text for text in self.heard() if SECRET in text]


@pytest.fixture
def ear(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    monkeypatch.setenv("SECRET_OF_THE_APPLICATION", SECRET)
    caplog.set_level("DEBUG")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield Ear(caplog, warned)


@pytest_asyncio.fixture(autouse=True)
async def loop_that_tells_everything() -> None:
    """Debug mode, in which every callback is slow."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0


def ranks(entrypoint: Any, *args: Any, **options: Any) -> dict[str, Any]:
    """Arguments of ``start_processes`` for two ranks."""
    options.setdefault("envs", {0: environment(), 1: environment()})
    return {"name": "w", "entrypoint": entrypoint, "args": {0: args, 1: args}, **options}


async def run(ear: Ear, options: dict[str, Any]) -> aelastic.RunProcsResult | BaseException:
    """Run to the end and note whatever can be seen on the way."""
    try:
        starting = aelastic.start_processes(**options)
        ear.note(starting)
        async with starting as ctx:
            events = ctx.events()
            result = await finish(ctx)
            ear.note(ctx, ctx.snapshot(), ctx._spec, ctx._run, result, *[event async for event in events])
            if ctx._run is not None:
                ear.note(ctx._run.prepared, ctx._spec.ranks, ctx._spec.workload)
            if result.is_failed():
                ear.note(aelastic.ChildFailedError("w", result.failures))
            return result
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        ear.note_error(error)
        return error


def error_of(outcome: aelastic.RunProcsResult | BaseException) -> BaseException:
    assert isinstance(outcome, BaseException), outcome
    return outcome


async def test_a_callback_with_it_would_be_heard(ear: Ear) -> None:
    """Else the silence below would prove nothing. (uvloop's debug mode names callbacks without their arguments.)"""
    asyncio.get_running_loop().call_soon(len, SECRET)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert any("Executing <Handle" in text for text in ear.heard())
    assert bool(ear.leaks()) == isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)


async def test_a_log_record_with_it_would_be_heard(ear: Ear) -> None:
    logging.getLogger("aelastic").debug("%r", {"TOKEN": SECRET})
    assert ear.leaks()


async def test_a_warning_with_it_would_be_heard(ear: Ear) -> None:
    warnings.warn(SECRET, stacklevel=2)
    assert ear.leaks()


async def test_an_error_that_comes_of_one_with_it_would_be_heard(ear: Ear) -> None:
    effect = KeyError("harmless")
    effect.__context__ = UnicodeEncodeError("utf-8", SECRET, 0, 1, "shown by its repr alone")
    ear.note_error(effect)
    assert ear.leaks()


# Programs that cannot be started


def refused_file(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / SECRET).mkdir()
    (tmp_path / SECRET / "mine").touch()
    return ranks("mine", envs=dict.fromkeys((0, 1), environment(PATH=str(tmp_path / SECRET))))


def odd_file(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "mine").write_text("no format that a kernel knows")
    (tmp_path / "mine").chmod(0o755)
    return ranks(str(tmp_path / "mine"))


def unwritable(tmp_path: Path) -> dict[str, Any]:
    return ranks("true", logs_specs=aelastic.DefaultLogsSpecs("/proc/no/where", tee=aelastic.Std.ALL))


UNSTARTABLE: dict[str, tuple[Callable[[Path], dict[str, Any]], type[Exception]]] = {
    "missing name": (lambda _: ranks("no-such-program"), FileNotFoundError),
    "missing path": (lambda _: ranks("/no/such/program"), FileNotFoundError),
    "no permission": (refused_file, PermissionError),
    "no format": (odd_file, OSError),
    "directory": (lambda tmp_path: ranks(str(tmp_path)), IsADirectoryError),
    "too long": (lambda _: ranks("true", "x" * 200_000), OSError),
    "environment too long": (lambda _: ranks("true", envs={rank: {"A": SECRET * 100_000} for rank in (0, 1)}), OSError),
    "unwritable logs": (unwritable, OSError),
}


@pytest.mark.parametrize("kind", UNSTARTABLE)
async def test_a_program_that_cannot_be_started(kind: str, ear: Ear, tmp_path: Path) -> None:
    make, expected = UNSTARTABLE[kind]
    assert isinstance(await run(ear, make(tmp_path)), expected)
    assert ear.leaks() == []


IMPOSSIBLE = {
    "value of another type": {"A": [SECRET]},
    "bytes": {"A": SECRET.encode()},
    "NUL": {"A": f"{SECRET}\0"},
    "no Unicode": {"A": f"{SECRET}\ud800"},
    "name and value in one": {f"TOKEN={SECRET}": ""},
    "pair": {("TOKEN", SECRET): ""},
    "list": [f"TOKEN={SECRET}"],
    "text": SECRET,
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
async def test_an_impossible_environment(kind: str, ear: Ear) -> None:
    outcome = await run(ear, ranks("true", envs={0: environment(), 1: IMPOSSIBLE[kind]}))
    assert isinstance(outcome, aelastic.InvalidArgumentError)
    assert ear.leaks() == []


async def test_environments_that_are_not_by_rank(ear: Ear) -> None:
    assert isinstance(await run(ear, ranks("true", envs={"TOKEN": SECRET})), aelastic.InvalidRanksError)
    assert ear.leaks() == []


# Logs specs that fail


class Failing(aelastic.DefaultLogsSpecs):
    """A user's own with a bug."""

    def __init__(self, directory: Path, bug: Callable[[dict[int, dict[str, Any]], aelastic.LogsDest], object]) -> None:
        super().__init__(str(directory), redirects=aelastic.Std.ALL)
        self._bug = bug

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        """With the bug."""
        dest = super().reify(envs)
        self._bug(envs, dest)
        return dest


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


BUGS: dict[str, Callable[[dict[int, dict[str, Any]], aelastic.LogsDest], object]] = {
    "KeyError": raising(KeyError("mine")),
    "StopIteration": raising(StopIteration()),
    "no such rank": lambda envs, dest: dest.stdouts.pop(1),
    "no such directory": lambda envs, dest: dest.stdouts.update({1: "/no/such/directory"}),
    "no environment": lambda envs, dest: envs.pop(1),
    "impossible environment": lambda envs, dest: envs[1].update(PORT=[SECRET]),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_logs_specs_that_fail(bug: str, ear: Ear, tmp_path: Path) -> None:
    error_of(await run(ear, ranks("true", logs_specs=Failing(tmp_path, BUGS[bug]))))
    assert ear.leaks() == []


async def test_logs_specs_that_cannot_be_released(ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aelastic.DefaultLogsSpecs, "release", raising(KeyError("mine")))
    await run(ear, ranks("true", logs_specs=redirected(tmp_path)))
    assert any("could not be released" in text for text in ear.heard())
    assert ear.leaks() == []


# NUMA


@pytest.mark.parametrize("options", [NODE, LENIENT], ids=["refused", "unbound"])
async def test_ranks_that_cannot_be_bound(
    options: aelastic.NumaOptions, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"GPU-{SECRET}")
    monkeypatch.setattr(binding, "read_topology", lambda _: Topology(()))
    outcome = await run(ear, ranks("true", numa_options=options))
    assert isinstance(outcome, aelastic.InvalidArgumentError) == (options is NODE)
    assert any("effective cpus" in text for text in ear.heard())
    assert ear.leaks() == []


# Ranks that fail


@pytest.mark.parametrize(
    ("script", "reason"),
    [("raise SystemExit(3)", "code 3"), ("import os; os.kill(os.getpid(), 9)", "SIGKILL"), (RECORDED, "the reason")],
    ids=["exit", "signal", "exception"],
)
async def test_a_program_that_fails(script: str, reason: str, ear: Ear, tmp_path: Path) -> None:
    outcome = await run(ear, ranks(sys.executable, "-c", script, logs_specs=redirected(tmp_path)))
    assert isinstance(outcome, aelastic.RunProcsResult)
    assert outcome.first_failure is not None
    assert reason in outcome.first_failure.reason
    assert ear.leaks() == []


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
@pytest.mark.parametrize(
    ("vice", "value", "reason"),
    [
        ("raises", "the reason", "the reason"),
        ("exits", 3, "code 3"),
        ("is killed", signal.SIGKILL, "SIGKILL"),
        ("os._exit", 0, "without delivering its value"),
    ],
)
async def test_a_function_that_fails(
    vice: str, value: Any, reason: str, method: StartMethod, ear: Ear, tmp_path: Path
) -> None:
    options = ranks(functions.act, vice, value, start_method=method, logs_specs=redirected(tmp_path))
    outcome = await run(ear, options)
    assert isinstance(outcome, aelastic.RunProcsResult), "".join(traceback.format_exception(outcome))
    assert outcome.first_failure is not None
    assert reason in outcome.first_failure.reason
    assert ear.leaks() == []


async def test_a_value_that_cannot_be_unpickled(ear: Ear) -> None:
    outcome = await run(ear, ranks(functions.loads_badly))
    assert isinstance(outcome, aelastic.RunProcsResult)
    assert outcome.first_failure is not None
    assert "could not be unpickled" in outcome.first_failure.reason
    assert ear.leaks() == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
async def test_an_argument_that_cannot_be_pickled(method: StartMethod, ear: Ear) -> None:
    outcome = await run(ear, ranks(functions.echo, threading.Lock(), start_method=method))
    assert isinstance(outcome, aelastic.InvalidArgumentError)
    assert ear.leaks() == []


async def test_a_fork_that_fails(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    left: list[int] = []
    make_pipe = os.pipe

    def pipe() -> tuple[int, int]:
        made.extend(make_pipe())
        return made[-2], made[-1]

    def fork() -> NoReturn:
        left.extend(made[-4:])  # multiprocessing forgets the two pipes that it makes for every fork
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", pipe)
        patch.setattr(os, "fork", fork)
        assert isinstance(await run(ear, ranks(functions.echo, 1, start_method="fork")), OSError)
    for end in left:
        os.close(end)
    assert ear.leaks() == []


async def test_an_interpreter_that_is_gone(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert isinstance(await run(ear, ranks(functions.echo, 1)), OSError)
    assert ear.leaks() == []


# Ends


async def test_a_run_that_is_broken_off(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = await aelastic.start_processes(**ranks("/bin/sleep", "60"))
    with monkeypatch.context() as patch:
        patch.setattr("aelastic.decide.gang.Gang.exited", raising(ZeroDivisionError("a fault of ours")))
        ctx.send_signal(signal.SIGKILL)
        with pytest.raises(ZeroDivisionError) as caught:
            await ctx.wait()
    for pid in ctx.pids().values():
        assert await reaped(pid)
    ear.note_error(caught.value)
    assert any("was broken off" in text for text in ear.heard())
    assert ear.leaks() == []


async def test_a_start_that_is_cancelled(ear: Ear) -> None:
    task = asyncio.create_task(run(ear, ranks("/bin/sleep", "60")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    ear.note_error(caught.value)
    ear.note(task)
    assert ear.leaks() == []


async def test_a_run_that_is_dropped(ear: Ear) -> None:
    ctx = await aelastic.start_processes(**ranks("/bin/sleep", "60"))
    assert ctx._run is not None
    ctx._run.abandon()
    await ctx.close()
    assert any("dropped without being closed" in text for text in ear.heard())
    assert ear.leaks() == []


# Records


def records() -> Iterator[type]:
    """Every dataclass of aelastic."""
    for module in pkgutil.walk_packages(aelastic.__path__, "aelastic."):
        if not module.name.endswith("__main__"):
            members = vars(importlib.import_module(module.name)).values()
            yield from (one for one in members if isinstance(one, type) and dataclasses.is_dataclass(one))


async def test_a_record_that_holds_an_environment_does_not_show_it() -> None:
    holding = {one: field for one in records() for field in dataclasses.fields(one) if field.name in ("env", "envs")}
    assert {one.__name__ for one in holding} >= {"RankPlan", "Prepared", "Surroundings", "Command", "Entry"}
    assert [one for one, field in holding.items() if field.repr] == []
