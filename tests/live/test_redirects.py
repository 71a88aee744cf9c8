"""``redirect``: a standard stream of this process goes to a file for a while."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aelastic.worker import redirects
from aelastic.worker.redirects import redirect, redirect_stderr, redirect_stdout

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE = """
import ctypes, os, sys
from aelastic.worker.redirects import redirect, redirect_stderr, redirect_stdout
libc = ctypes.CDLL(None)
def say(text):
    print(text, "python")
    libc.printf(f"{text} c\\n".encode())
    os.system(f"echo {text} child")
"""


def run(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run ``script`` with pipes for its streams, so that C code and Python hold back what they print."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script], capture_output=True, text=True, cwd=directory, check=False
    )


def said(*texts: str) -> list[str]:
    return sorted(f"{text} {who}" for text in texts for who in ("python", "c", "child"))


def test_python_c_and_children_go_to_the_file_and_back(tmp_path: Path) -> None:
    script = """
say("before")
with redirect_stdout("file"):
    say("during")
say("after")
"""
    ended = run(script, tmp_path)
    assert sorted(ended.stdout.splitlines()) == said("after", "before")
    assert sorted((tmp_path / "file").read_text().splitlines()) == said("during")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_both_streams_and_a_block_within_a_block(tmp_path: Path) -> None:
    script = """
with redirect_stderr("err"), redirect_stdout("outer"):
    say("first")
    with redirect_stdout("inner"):
        say("second")
        print("error", file=sys.stderr)
    say("third")
say("last")
"""
    ended = run(script, tmp_path)
    assert sorted((tmp_path / "outer").read_text().splitlines()) == said("first", "third")
    assert sorted((tmp_path / "inner").read_text().splitlines()) == said("second")
    assert (tmp_path / "err").read_text() == "error\n"
    assert sorted(ended.stdout.splitlines()) == said("last")


def test_an_exception_ends_it_too(tmp_path: Path) -> None:
    script = """
try:
    with redirect("stdout", "file"):
        say("during")
        raise KeyError
except KeyError:
    say("after")
"""
    ended = run(script, tmp_path)
    assert sorted((tmp_path / "file").read_text().splitlines()) == said("during")
    assert sorted(ended.stdout.splitlines()) == said("after")


def test_a_full_disk_does_not_prevent_the_return(tmp_path: Path) -> None:
    script = """
try:
    with redirect("stdout", "/dev/full"):
        sys.stdout.write("x")
except OSError as error:
    os.write(1, error.strerror.encode())
os._exit(0)
"""
    assert run(script, tmp_path).stdout == "No space left on device"


def test_a_file_is_emptied_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with redirect_stdout(str(file)):
        pass
    assert file.read_text() == ""
    with redirect_stdout(str(tmp_path / "new")):
        pass
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_standard_stream_without_a_descriptor_is_redirected_as_well(tmp_path: Path) -> None:
    elsewhere = io.StringIO()
    with contextlib.redirect_stdout(elsewhere):
        print("before")
        with redirect_stdout(str(tmp_path / "file")):
            print("python é\udcff")
            os.write(1, b"descriptor\n")
            subprocess.run(["echo", "child"], check=True)
        assert sys.stdout is elsewhere
        print("after")
    assert elsewhere.getvalue() == "before\nafter\n"
    assert (tmp_path / "file").read_text() == "python é\\udcff\ndescriptor\nchild\n"


@pytest.mark.parametrize("std", ["stdout", "stderr"])
def test_an_absent_standard_stream_is_redirected_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, std: str
) -> None:
    monkeypatch.setattr(sys, std, None)
    with redirect(std, str(tmp_path / "file")):
        print("python", file=getattr(sys, std))
    assert getattr(sys, std) is None
    assert (tmp_path / "file").read_text() == "python\n"


@pytest.mark.parametrize("std", ["stdin", "", "STDOUT"])
def test_another_stream_is_refused(std: str) -> None:
    with pytest.raises(ValueError, match="unknown standard stream"):
        redirect(std, "file")


def test_a_file_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    before = os.fstat(1)
    with pytest.raises(FileNotFoundError), redirect_stderr(str(tmp_path / "no" / "file")):
        raise AssertionError("not reached")
    assert os.path.samestat(os.fstat(1), before)


def test_without_a_c_library_the_rest_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: object) -> object:
        raise OSError(f"no {name}")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with redirect_stdout(str(tmp_path / "file")):
        os.write(1, b"x")
    monkeypatch.setitem(sys.modules, "ctypes", None)
    with redirect_stderr(str(tmp_path / "other")):
        os.write(2, b"y")
    assert ((tmp_path / "file").read_text(), (tmp_path / "other").read_text()) == ("x", "y")


def test_what_a_rank_imports_for_it(tmp_path: Path) -> None:
    script = (
        f"import sys, {redirects.__name__}; print(*{{'asyncio', 'anyio', 'ctypes', 'aiofiles'}} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert ended.stdout == "\n"
