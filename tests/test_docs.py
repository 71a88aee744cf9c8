"""The programs in the documentation do what it shows. Parts of programs, marked as ``py``, are tested by others."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
_PROGRAM = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Program:
    """A program on a page, and the lines that it shows; an ellipsis stands for anything."""

    name: str
    text: str
    lines: tuple[str, ...]


def programs() -> list[Program]:
    return [
        Program(f"{page.stem}-{number}", text, tuple(shown.splitlines()))
        for page in sorted(DOCS.glob("*.md"))
        for number, (text, shown) in enumerate(_PROGRAM.findall(page.read_text()))
    ]


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_a_program_shows_what_the_page_says(program: Program, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program.text)
    command = [sys.executable, "-X", "dev", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout.splitlines()
    for line in program.lines:
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        assert any(re.fullmatch(pattern, one) for one in shown), f"{line!r} is not in {shown}"
