"""read_report: whatever is at the path, there is an answer, and soon."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from aelastic.errors.report import LARGEST_REPORT, Report, Unreadable
from aelastic.process import reports
from aelastic.process.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

REPORT = Report({"message": "x"}, "x", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "error.json"


def problem(path: Path | str) -> str:
    answer = read_report(str(path))
    assert isinstance(answer, Unreadable)
    return answer.problem


def test_a_report(path: Path) -> None:
    path.write_text('{"message": "x"}')
    assert read_report(str(path)) == REPORT


def test_a_report_behind_a_link(path: Path) -> None:
    path.write_text('{"message": "x"}')
    path.with_name("link").symlink_to(path)
    assert read_report(str(path.with_name("link"))) == REPORT


def test_a_relative_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text('{"message": "x"}')
    monkeypatch.chdir(path.parent)
    assert read_report("error.json") == REPORT


@pytest.mark.parametrize("nothing", ["", os.devnull])
def test_no_path(nothing: str) -> None:
    assert read_report(nothing) is None


def test_no_file(path: Path) -> None:
    assert read_report(str(path)) is None


def test_an_empty_file(path: Path) -> None:
    path.touch()
    assert problem(path) == "it is empty"


@pytest.mark.parametrize("content", [b'{"message": {"mess', bytes(range(256)), b"\0" * 10_000])
def test_a_file_that_is_cut_off_or_binary(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert problem(path).startswith("it is not JSON")


def test_a_file_of_deep_json(path: Path) -> None:
    path.write_text("[" * 1_000_000)
    assert problem(path) == "its JSON is nested too deeply"


def test_a_file_that_is_as_large_as_allowed(path: Path) -> None:
    path.write_bytes(b'{"message": "x"}'.ljust(LARGEST_REPORT))
    assert read_report(str(path)) == REPORT


def test_a_file_of_two_hundred_megabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    assert problem(path) == "it is too large (209715200 bytes)"


def test_a_file_that_gives_more_than_its_size_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LARGEST_REPORT", 100)
    assert problem("/proc/self/status") == "it is too large and still growing"  # its size is given as 0


def test_a_directory(path: Path) -> None:
    path.mkdir()
    assert problem(path) == "it is not a regular file"


def test_a_fifo_without_a_writer_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    assert problem(path) == "it is not a regular file"


def test_a_fifo_with_a_silent_writer_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    assert problem(path) == "it is not a regular file"
    os.close(writer)
    os.close(reader)


def test_a_device() -> None:
    assert problem("/dev/zero") == "it is not a regular file"


def test_a_device_behind_a_link(path: Path) -> None:
    path.symlink_to("/dev/zero")
    assert problem(path) == "it is not a regular file"


def test_a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")
    assert read_report(str(path)) is None


def test_a_terminal_is_not_made_ours(path: Path) -> None:
    master, slave = os.openpty()
    path.symlink_to(os.ttyname(slave))
    assert problem(path) == "it is not a regular file"
    os.close(master)
    os.close(slave)


def test_a_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    assert problem(path).startswith("it cannot be opened")


def test_a_loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)
    assert problem(path) == "it cannot be opened (Too many levels of symbolic links)"


def test_a_path_through_a_file(path: Path) -> None:
    path.touch()
    assert problem(path / "more") == "it cannot be opened (Not a directory)"


@pytest.mark.usefixtures("unprivileged")
def test_a_file_without_permission(path: Path) -> None:
    assert problem(path) == "it cannot be opened (Permission denied)"


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "n" * 5000])
def test_a_path_that_cannot_be_one(odd: str) -> None:
    assert problem(odd).startswith("it")


def test_no_descriptor_is_kept(path: Path) -> None:
    path.mkdir()
    before = os.listdir("/proc/self/fd")
    read_report(str(path))
    assert os.listdir("/proc/self/fd") == before
