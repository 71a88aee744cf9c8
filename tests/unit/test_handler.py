"""record and ErrorHandler, in this process and in real ranks."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import inspect
import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import aelastic
from aelastic.errors import ChildFailedError, ErrorHandler, ProcessFailure, get_error_handler, record
from aelastic.errors.handler import PRIVATE_LOGS
from aelastic.errors.report import LARGEST_REPORT, Report, parse_report

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

VARIABLE = "TORCHELASTIC_ERROR_FILE"


@pytest.fixture(autouse=True)
def fault_handler_as_before() -> Iterator[None]:
    """Recording turns the fault handler on for a stderr that pytest closes."""
    yield
    faulthandler.enable(file=2)


@pytest.fixture
def error_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process is told to write its error."""
    path = tmp_path / "error.json"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


class Unprintable(Exception):
    """Its text is an error of its own."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def fail() -> NoReturn:
    raise ValueError("the reason")


def failure_with(error_file: Path | str, exitcode: int = -9) -> ProcessFailure:
    return ProcessFailure(1, 42, exitcode, str(error_file))


def told(path: Path) -> dict[str, Any]:
    """The structured message in the file at ``path``."""
    message = json.loads(path.read_text())["message"]
    assert isinstance(message, dict)
    return message


def callstack(path: Path) -> str:
    text = told(path)["extraInfo"]["py_callstack"]
    assert isinstance(text, str)
    return text


def rank(body: str, error_file: Path | None) -> subprocess.CompletedProcess[str]:
    """Run a recorded ``main`` with this ``body`` in a process of its own."""
    script = f"import asyncio, os, sys\nfrom aelastic.errors import record\n@record\ndef main():\n  {body}\nmain()\n"
    env = {**os.environ, VARIABLE: str(error_file or "")}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)


# What the file says


def test_the_format_is_torchs(error_file: Path) -> None:
    before = int(time.time())
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    message = told(error_file)
    info = message["extraInfo"]
    assert message["message"] == "ValueError: the reason"
    assert info["py_callstack"].startswith("Traceback (most recent call last):\n")
    assert info["py_callstack"].endswith("\nValueError: the reason\n")
    assert isinstance(info["timestamp"], str)
    assert before <= int(info["timestamp"]) == info["timestamp_ns"] // 10**9


def test_notes_and_causes_are_told(error_file: Path) -> None:
    def main() -> None:
        try:
            fail()
        except ValueError as cause:
            error = RuntimeError("the end")
            error.add_note("a hint")
            raise error from cause

    with pytest.raises(RuntimeError, match="the end"):
        record(main)()
    assert told(error_file)["extraInfo"]["notes"] == ["a hint"]
    assert "ValueError: the reason" in callstack(error_file)
    assert "direct cause" in callstack(error_file)
    assert callstack(error_file).endswith("RuntimeError: the end\na hint\n")


def test_every_error_of_a_group_is_told(error_file: Path) -> None:
    with pytest.raises(ExceptionGroup):
        record(lambda: raise_(ExceptionGroup("several", [ValueError("one"), KeyError("two")])))()
    assert "ValueError: one" in callstack(error_file)
    assert "KeyError: 'two'" in callstack(error_file)


def raise_(error: BaseException) -> NoReturn:
    raise error


def test_an_exception_outside_an_except_block_has_its_own_traceback(error_file: Path) -> None:
    try:
        fail()
    except ValueError as caught:
        error = caught
    ErrorHandler().record_exception(error)
    assert "in fail" in callstack(error_file)
    assert "NoneType" not in callstack(error_file)


def test_an_exception_that_was_never_raised_is_told(error_file: Path) -> None:
    ErrorHandler().record_exception(ValueError("x"))
    assert callstack(error_file) == "ValueError: x\n"


def test_an_unprintable_exception_is_told_and_goes_on_its_way(error_file: Path) -> None:
    with pytest.raises(Unprintable):
        record(lambda: raise_(Unprintable()))()
    assert told(error_file)["message"] == "Unprintable: <exception str() failed>"


@pytest.mark.parametrize(
    "notes", [5, "text", [Unprintable()], [1, "good"], None], ids=lambda notes: type(notes).__name__
)
def test_odd_notes_do_no_harm(notes: object, error_file: Path) -> None:
    error = ValueError("x")
    error.__notes__ = notes  # type: ignore[assignment]
    ErrorHandler().record_exception(error)
    assert told(error_file)["message"] == "ValueError: x"
    assert told(error_file)["extraInfo"]["notes"] == (["good"] if notes == [1, "good"] else [])


def test_text_that_is_not_unicode_is_told(error_file: Path) -> None:
    ErrorHandler().record_exception(ValueError("\udcff\0ü"))
    assert told(error_file)["message"] == "ValueError: \udcff\0ü"


def test_a_recursion_error_is_told(error_file: Path) -> None:
    def main() -> None:
        main()

    with pytest.raises(RecursionError):
        record(main)()
    assert told(error_file)["message"].startswith("RecursionError")


# What is an error, and what is none


def test_the_result_the_arguments_and_the_name_are_the_functions() -> None:
    @record
    def main(a: int, *, b: int) -> int:
        """Add."""
        return a + b

    assert main(1, b=2) == 3
    assert (main.__name__, main.__doc__) == ("main", "Add.")


@pytest.mark.parametrize("code", [0, None])
def test_a_clean_exit_is_a_return(code: int | None, error_file: Path) -> None:
    assert record(lambda: sys.exit(code))() is None
    assert not error_file.exists()


@pytest.mark.parametrize("code", [1, 3, "a text"])
def test_another_exit_passes_without_a_file(code: int | str, error_file: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        record(lambda: sys.exit(code))()
    assert caught.value.code == code
    assert not error_file.exists()


def test_an_interrupt_passes_without_a_file(error_file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        record(lambda: raise_(KeyboardInterrupt()))()
    assert not error_file.exists()


def test_an_async_function_stays_one(error_file: Path) -> None:
    @record
    async def main(value: int) -> int:
        await asyncio.sleep(0)
        if value < 0:
            raise ValueError("negative")
        return value

    assert inspect.iscoroutinefunction(main)
    assert asyncio.run(main(3)) == 3
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(main(-1))
    assert told(error_file)["message"] == "ValueError: negative"


def test_a_clean_exit_of_an_async_function_is_a_return(error_file: Path) -> None:
    @record
    async def main() -> None:
        sys.exit(0)

    assert asyncio.run(main()) is None
    assert not error_file.exists()


class Trainer:
    async def main(self, text: str) -> None:
        raise ValueError(text)


@pytest.mark.parametrize(
    "main",
    [functools.partial(Trainer().main, "x"), functools.partial(functools.partial(Trainer.main, Trainer()), "x")],
    ids=["method", "nested"],
)
def test_a_partial_of_an_async_function_is_recorded(
    main: Callable[[], Coroutine[Any, Any, None]], error_file: Path
) -> None:
    with pytest.raises(ValueError, match="x"):
        asyncio.run(record(main)())
    assert told(error_file)["message"] == "ValueError: x"


def test_a_handler_of_ones_own_is_used(error_file: Path) -> None:
    seen: list[str] = []

    class Mine(ErrorHandler):
        def initialize(self) -> None:
            seen.append("initialize")

        def record_exception(self, e: BaseException) -> None:
            seen.append(str(e))

    with pytest.raises(ValueError, match="the reason"):
        record(fail, Mine())()
    assert seen == ["initialize", "the reason"]
    assert not error_file.exists()


def test_the_default_handler() -> None:
    assert type(get_error_handler()) is ErrorHandler


def test_recording_turns_the_fault_handler_on() -> None:
    faulthandler.disable()
    record(lambda: None)()
    assert faulthandler.is_enabled()


def test_a_rank_without_stderr_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert record(lambda: 5)() == 5
    assert "cannot enable the fault handler" in caplog.text


# Where it is written


def test_the_file_is_replaced_never_overwritten(error_file: Path) -> None:
    error_file.write_text("old")
    old = error_file.with_name("old")
    os.link(error_file, old)
    ErrorHandler().record_exception(ValueError("x"))
    assert old.read_text() == "old"
    assert told(error_file)["message"] == "ValueError: x"


@pytest.mark.parametrize("umask", [0, 0o022])
@pytest.mark.parametrize(("private", "open_to"), [(None, 0o600), ("1", 0o600), ("0", 0o666)])
def test_the_file_is_its_owners_alone_unless_told_otherwise(
    private: str | None, open_to: int, umask: int, error_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PRIVATE_LOGS, raising=False)
    if private is not None:
        monkeypatch.setenv(PRIVATE_LOGS, private)
    script = "from aelastic.errors import ErrorHandler; ErrorHandler().record_exception(ValueError('x'))"
    subprocess.run([sys.executable, "-c", script], umask=umask, check=True)
    assert stat.S_IMODE(error_file.stat().st_mode) == open_to & ~umask


def test_a_file_that_exists_keeps_its_mode(error_file: Path) -> None:
    error_file.touch()
    error_file.chmod(0o640)
    ErrorHandler().record_exception(ValueError("x"))
    assert told(error_file)["message"] == "ValueError: x"
    assert stat.S_IMODE(error_file.stat().st_mode) == 0o640


def test_nothing_else_is_left_in_the_directory(error_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    ErrorHandler().record_exception(ValueError("x"))
    assert os.listdir(error_file.parent) == ["error.json"]
    assert not caplog.text


def test_a_write_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    error_file = tmp_path / "error.json"
    error_file.write_text("old")
    done = rank("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); 1 / 0", error_file)
    assert "ZeroDivisionError" in done.stderr
    assert "cannot write the error file" in done.stderr
    assert error_file.read_text() == "old"
    assert os.listdir(tmp_path) == ["error.json"]


def test_a_relative_path_is_taken_from_where_the_rank_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "error.json")
    ErrorHandler().record_exception(ValueError("x"))
    assert told(tmp_path / "error.json")["message"] == "ValueError: x"


def test_the_variable_is_read_when_something_is_written(error_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = record(fail)
    later = error_file.with_name("later.json")
    monkeypatch.setenv(VARIABLE, str(later))
    with pytest.raises(ValueError, match="the reason"):
        main()
    assert later.exists()
    assert not error_file.exists()


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_nothing_is_written(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    assert os.listdir(tmp_path) == []


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))


def link_to_devnull(path: Path) -> None:
    path.symlink_to(os.devnull)


@pytest.mark.parametrize("make", [make_fifo, make_socket, Path.mkdir, link_to_devnull])
def test_what_is_no_file_stays_what_it_is(
    make: Callable[[Path], None], error_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(error_file.parent)  # the path of a socket is short
    make(error_file)
    kind = stat.S_IFMT(os.lstat(error_file).st_mode)
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    assert stat.S_IFMT(os.lstat(error_file).st_mode) == kind
    assert os.listdir(error_file.parent) == ["error.json"]


@pytest.mark.parametrize("name", ["missing/error.json", "file/error.json", "n" * 300])
def test_a_path_that_cannot_be_written_is_a_warning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / name))
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    assert "cannot write the error file" in caplog.text


@pytest.mark.usefixtures("unprivileged")
def test_a_directory_without_permission_is_a_warning(error_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    assert "cannot write the error file" in caplog.text


# A rank that is itself a supervisor


def child_error(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "child.json"
    path.write_text(text)
    return path


def supervise(failure: ProcessFailure) -> None:
    with pytest.raises(ChildFailedError):
        record(lambda: raise_(ChildFailedError("w", {1: failure})))()


def test_the_root_cause_of_a_child_is_handed_on_with_its_exit_code(error_file: Path, tmp_path: Path) -> None:
    child = child_error(tmp_path, '{"message": {"message": "E: x", "extraInfo": {"timestamp": "7"}}}')
    supervise(failure_with(child, exitcode=-11))
    assert told(error_file) == {"message": "E: x", "extraInfo": {"timestamp": "7"}, "errorCode": -11}


def test_an_exit_code_of_zero_is_not_noted(error_file: Path, tmp_path: Path) -> None:
    supervise(failure_with(child_error(tmp_path, '{"message": {"message": "E: x"}}'), exitcode=0))
    assert told(error_file) == {"message": "E: x"}


def test_a_file_can_be_handed_on_without_an_exit_code(error_file: Path, tmp_path: Path) -> None:
    assert ErrorHandler().dump_error_file(str(child_error(tmp_path, '{"message": {"message": "E: x"}}')))
    assert told(error_file) == {"message": "E: x"}


def test_a_plain_message_has_no_place_for_an_exit_code(error_file: Path, tmp_path: Path) -> None:
    supervise(failure_with(child_error(tmp_path, '{"message": "x"}')))
    assert json.loads(error_file.read_text()) == {"message": "x"}


def test_a_child_without_an_error_file_is_told_as_the_box(error_file: Path) -> None:
    supervise(ProcessFailure(1, 42, 3))
    assert "Root Cause" in told(error_file)["message"]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"], ids=["empty", "cut off", "deep", "not UTF-8"])
def test_a_child_whose_error_file_is_corrupt_is_told_as_the_box(text: str, error_file: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.json"
    child.write_bytes(text.encode("latin-1"))
    supervise(failure_with(child))
    assert "Root Cause" in callstack(error_file)


DEEP = "[" * 2000 + "]" * 2000


def test_a_child_whose_error_file_can_be_read_but_not_be_written_is_told_as_the_box(
    error_file: Path, tmp_path: Path
) -> None:
    """Python 3.13 reads JSON that is nested more deeply than it can write."""
    supervise(failure_with(child_error(tmp_path, f'{{"message": {{"message": "E: x", "extraInfo": {DEEP}}}}}')))
    assert "Root Cause" in callstack(error_file)


@pytest.mark.parametrize("text", ['["message"]', "{}", '{"message": 5}'])
def test_a_child_whose_error_file_tells_nothing_is_told_as_the_box(text: str, error_file: Path, tmp_path: Path) -> None:
    supervise(failure_with(child_error(tmp_path, text)))
    assert "Root Cause" in callstack(error_file)


def test_a_huge_error_file_of_a_child_is_not_read(
    error_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_error(tmp_path, '{"message": "x"}')
    os.truncate(child, 200 * 1024 * 1024)
    assert not ErrorHandler().dump_error_file(str(child), 1)
    assert "it is too large" in caplog.text
    child.write_bytes(b'{"message": "x"}'.ljust(LARGEST_REPORT))
    assert ErrorHandler().dump_error_file(str(child))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_of_a_childs_is_not_opened(
    make: Callable[[Path], None], error_file: Path, tmp_path: Path
) -> None:
    make(tmp_path / "child.json")
    assert not ErrorHandler().dump_error_file(str(tmp_path / "child.json"))
    assert not error_file.exists()


def test_a_gone_error_file_of_a_child_is_no_error_of_ours(
    error_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not ErrorHandler().dump_error_file(str(tmp_path / "gone.json"), 1)
    assert "cannot copy the error file" in caplog.text
    assert not error_file.exists()


# Torch reads ours, and we read torch's


def test_torch_understands_our_file(error_file: Path, torch_errors: Any) -> None:
    with pytest.raises(ValueError, match="the reason"):
        record(fail)()
    theirs = torch_errors.ProcessFailure(0, 42, 1, str(error_file))
    assert theirs.message == told(error_file)
    assert theirs.timestamp == int(told(error_file)["extraInfo"]["timestamp"])


def test_we_understand_the_file_of_torch(error_file: Path, torch_errors: Any) -> None:
    with pytest.raises(ValueError, match="the reason"):
        torch_errors.record(fail)()
    report = parse_report(error_file.read_bytes())
    assert isinstance(report, Report)
    assert report.message == told(error_file)
    assert report.timestamp == int(told(error_file)["extraInfo"]["timestamp"])


def test_torch_would_write_the_same_keys(error_file: Path, torch_errors: Any) -> None:
    ErrorHandler().record_exception(ValueError("x"))
    ours = told(error_file)
    torch_errors.ErrorHandler().record_exception(ValueError("x"))
    theirs = told(error_file)
    assert theirs.keys() == ours.keys()
    assert theirs["message"] == ours["message"]
    assert theirs["extraInfo"].keys() <= ours["extraInfo"].keys()


def test_the_child_failed_error_of_torch_is_handed_on(error_file: Path, tmp_path: Path, torch_errors: Any) -> None:
    child = child_error(tmp_path, '{"message": {"message": "E: x", "extraInfo": {"timestamp": "7"}}}')
    error = torch_errors.ChildFailedError("w", {1: torch_errors.ProcessFailure(1, 42, -9, str(child))})
    with pytest.raises(torch_errors.ChildFailedError):
        record(lambda: raise_(error))()
    assert told(error_file)["errorCode"] == -9


# In a real rank


def test_a_rank_that_raises(tmp_path: Path) -> None:
    done = rank("1 / 0", tmp_path / "error.json")
    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert told(tmp_path / "error.json")["message"] == "ZeroDivisionError: division by zero"
    assert done.stderr.endswith(callstack(tmp_path / "error.json").splitlines()[-1] + "\n")


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("None", 0), ("3", 3), ("'text'", 1)])
def test_a_rank_that_exits(code: str, status: int, tmp_path: Path) -> None:
    done = rank(f"sys.exit({code})", tmp_path / "error.json")
    assert done.returncode == status
    assert os.listdir(tmp_path) == []


def test_the_stacks_of_a_rank_that_crashes_are_on_its_stderr() -> None:
    done = rank("os.abort()", None)
    assert done.returncode == -6
    assert "Fatal Python error: Aborted" in done.stderr


def modules_after(statement: str) -> set[str]:
    """What a bare interpreter has imported after ``statement``."""
    source = os.path.dirname(os.path.dirname(aelastic.__file__))
    script = f"import sys; sys.path.insert(0, {source!r}); {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-SE", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import aelastic", "from aelastic.errors import record", "from aelastic import record; record(print)()"],
)
def test_a_rank_pays_only_for_what_it_uses(statement: str) -> None:
    imported = modules_after(statement)
    assert "aelastic" in imported
    expensive = {"asyncio", "anyio", "aiofiles", "dataclasses", "inspect", "traceback", "json", "logging", "subprocess"}
    assert not imported & expensive
    assert not {name for name in imported if name.startswith(("aelastic.conduct", "aelastic.process", "aelastic.logs"))}
