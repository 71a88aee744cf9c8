"""check_program: what execvp would say, before anything has started."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from aelastic.process.program import check_program

if TYPE_CHECKING:
    from pathlib import Path


def executable(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def search(*directories: Path) -> str:
    return os.pathsep.join(map(str, directories))


def problem(program: str | Path, path: str = "/nowhere") -> OSError:
    with pytest.raises(OSError, match="rank 3: the program") as caught:
        check_program(3, str(program), path)
    return caught.value


# A path


def test_a_program_by_its_path(tmp_path: Path) -> None:
    check_program(0, str(executable(tmp_path / "run")), "/nowhere")


def test_a_relative_path_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "bin" / "run")
    monkeypatch.chdir(tmp_path)
    check_program(0, "bin/run", "/nowhere")
    check_program(0, "./bin/run", "")
    assert isinstance(problem("./run", str(tmp_path / "bin")), FileNotFoundError)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(executable(tmp_path / "run"))
    check_program(0, str(tmp_path / "link"), "")


def test_a_missing_file(tmp_path: Path) -> None:
    error = problem(tmp_path / "missing")
    assert isinstance(error, FileNotFoundError)
    assert error.errno == errno.ENOENT
    assert error.filename == str(tmp_path / "missing")
    assert "there is no such file" in str(error)


def test_a_link_that_leads_nowhere_is_missing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    assert isinstance(problem(tmp_path / "link"), FileNotFoundError)


def test_a_file_without_run_permission(tmp_path: Path) -> None:
    error = problem(executable(tmp_path / "run", 0o644))
    assert isinstance(error, PermissionError)
    assert "chmod +x" in str(error)


def test_a_directory(tmp_path: Path) -> None:
    assert isinstance(problem(tmp_path), IsADirectoryError)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o777)
    assert isinstance(problem(tmp_path / "fifo"), PermissionError)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    assert isinstance(problem(executable(tmp_path / "run") / "more"), NotADirectoryError)


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert problem(tmp_path / "loop").errno == errno.ELOOP


@pytest.mark.usefixtures("unprivileged")
def test_a_directory_that_may_not_be_entered(tmp_path: Path) -> None:
    error = problem(tmp_path / "run")
    assert isinstance(error, PermissionError)
    assert "cannot be reached" in str(error)


# A name


def test_a_program_by_its_name(tmp_path: Path) -> None:
    executable(tmp_path / "b" / "run")
    check_program(0, "run", search(tmp_path / "a", tmp_path / "b"))


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    error = problem("run", search(tmp_path / "a", tmp_path / "b"))
    assert isinstance(error, FileNotFoundError)
    assert "it is in no directory of PATH (2 looked into)" in str(error)
    assert error.filename == "run"
    assert str(tmp_path) not in str(error)


def test_the_search_goes_on_behind_what_cannot_be_run(tmp_path: Path) -> None:
    executable(tmp_path / "a" / "run", 0o644)
    (tmp_path / "b" / "run").mkdir(parents=True)
    executable(tmp_path / "file")
    executable(tmp_path / "c" / "run")
    check_program(0, "run", search(tmp_path / "a", tmp_path / "b", tmp_path / "file", tmp_path / "c"))


def test_a_file_without_run_permission_is_reported_when_there_is_no_other(tmp_path: Path) -> None:
    executable(tmp_path / "b" / "run", 0o644)
    error = problem("run", search(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert isinstance(error, PermissionError)
    assert "(chmod +x), in directory 2 of PATH" in str(error)
    assert error.filename == "run"
    assert str(tmp_path) not in str(error)


def test_a_directory_on_the_search_path_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert isinstance(problem("run", str(tmp_path)), FileNotFoundError)


@pytest.mark.parametrize("path", ["", ":/nowhere", "/nowhere:", "/nowhere::/elsewhere"])
def test_an_empty_directory_is_the_current_one(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    check_program(0, "run", path)


def test_no_name_is_no_program(tmp_path: Path) -> None:
    assert isinstance(problem("", str(tmp_path)), FileNotFoundError)


@pytest.mark.parametrize(
    "content", [b"", b"#!/nowhere/interpreter\n", b"\x7fELF"], ids=["empty", "no interpreter", "no program"]
)
def test_the_content_is_the_kernels_business(content: bytes, tmp_path: Path) -> None:
    executable(tmp_path / "run").write_bytes(content)
    check_program(0, str(tmp_path / "run"), "")


def what_starting_says(program: str, path: str) -> int | None:
    """The error number of really starting it; None when it ran."""
    try:
        subprocess.run([program], env={"PATH": path}, check=True)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize(
    "program", ["run", "closed", "missing", "sub/run", "sub/missing", "file/run", "loop/", "./run"]
)
@pytest.mark.parametrize("path", ["a:b", "b:a", "a", "", "missing:file:a:b"])
def test_the_start_agrees(program: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for runs in ("a/run", "sub/run", "file"):
        executable(tmp_path / runs)
    for closed in ("a/closed", "b/run"):
        executable(tmp_path / closed, 0o600)
    (tmp_path / "loop").symlink_to("loop")
    try:
        check_program(0, program, path)
        ours = None
    except OSError as error:
        ours = error.errno
    assert ours == what_starting_says(program, path)
