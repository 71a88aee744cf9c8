"""Pages of a log file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.logs.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    return str(path)


def test_the_last_page_has_whole_lines(log: str) -> None:
    page = read_page(log, 20)
    assert page.data == b"line 98\nline 99\n"
    assert (page.end, page.size) == (page.size, os.path.getsize(log))


def test_the_first_page(log: str) -> None:
    assert read_page(log, 20, after=0).data == b"line 0\nline 1\n"
    assert read_page(log, 20, before=0).data == b""


def test_past_the_end_is_nothing(log: str) -> None:
    size = os.path.getsize(log)
    page = read_page(log, 20, after=size + 1000)
    assert (page.start, page.end, page.data) == (size, size, b"")
    assert read_page(log, 20, before=size + 1000) == read_page(log, 20)


@given(content=st.lists(st.sampled_from([b"\n", b"a", b"bcdefgh"])).map(b"".join), limit=st.integers(1, 12))
def test_pages_put_together_are_the_file(tmp_path_factory: pytest.TempPathFactory, content: bytes, limit: int) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(content)
    backwards, end = b"", len(content)
    while end:
        page = read_page(str(path), limit, before=end)
        assert page.end == end
        backwards, end = page.data + backwards, page.start
    assert backwards == content
    forwards, start = b"", 0
    while start < len(content):
        page = read_page(str(path), limit, after=start)
        assert page.start == start
        forwards, start = forwards + page.data, page.end
    assert forwards == content


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_empty(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd")
    assert read_page(str(tmp_path / "odd"), 100).data == b""
    assert read_page(os.devnull, 100).data == b""


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_page(str(tmp_path / "missing"), 100)
