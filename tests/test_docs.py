"""Whatever can be run in the documentation is run, as its reader would, and shows what the page says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from aelastic.cli.app import app
from tests.helpers.pages import NOT_HERE, PAGES, README, ROOT, Example, blocks_of, examples, examples_of, untested
from tests.helpers.reader import follow

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.testing import Ranks

CI = ROOT / ".ci" / "run"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("example", examples(*PAGES), ids=str)
def test_an_example_shows_what_the_page_says(example: Example, ranks: Ranks, tmp_path: Path) -> None:
    follow(example, tmp_path, ranks.port())


def test_no_block_is_left_out() -> None:
    texts = {str(page.relative_to(ROOT)): page.read_text() for page in (README, *PAGES)}
    assert [complaint for page, text in texts.items() for complaint in untested(page, text)] == []


def test_the_examples_of_the_command_show_what_they_do(ranks: Ranks, tmp_path: Path) -> None:
    """Its help, which is a page of the reference."""
    shown = CliRunner().invoke(app, ["run", "--help"]).output
    commands = "\n".join(re.findall(r"^ +(aelastic run .*)$", shown, re.MULTILINE))
    (example,) = examples_of("help", f"```console\n{commands}\n```\n")
    assert len(example.commands) == 4
    follow(example, tmp_path, ranks.port())
    assert {path.name for path in (tmp_path / "logs").rglob("stdout.log")} == {"stdout.log"}


def test_what_is_run_elsewhere_is_there() -> None:
    blocks = [block for page in (README, *PAGES) for block in blocks_of("", page.read_text())]
    assert set(NOT_HERE) <= {command for block in blocks for command in block.commands}
    if CI.exists():  # it does not, in what is distributed
        marks = re.findall(r"command_of '([^']+)'", CI.read_text())
        assert marks
        assert all(any(mark in block.text for block in blocks) for mark in marks)


LEFT_OUT = {
    "a part of a program": "```py\nf()\n```\n",
    "a language that nobody runs": "```js\nf()\n```\n",
    "no language": "```\nf()\n```\n",
    "an indented block": "So:\n\n    f()\n",
    "a block in a list": "- so:\n\n  ```sh\n  f\n  ```\n",
    "a file that nothing uses": "```python\n# service.py\nf()\n```\n\n```console\nuvicorn other:app\n```\n",
    "output of nothing": "```text\n1\n```\n",
    "output below other text": "```python\nprint(1)\n```\nThen:\n```text\n1\n```\n",
    "an example that no command is about": "```{literalinclude} ../examples/dashboard.py\n```\n",
}


@pytest.mark.parametrize("text", LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_block_that_is_left_out_is_found(text: str) -> None:
    assert len(list(untested("page", text))) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "'2' is not in"),
        ("```python\nprint(1)\n```\n\n```text\n1\n1\n```\n", "'1' is not in"),
        ("```python\nraise SystemExit('no')\n```\n", "no"),
        ("```console\nfalse\n```\n", "false"),
        ("```python\n# app.py\n```\n\n```console\nuvicorn app:app\n```\n", "uvicorn app:app"),
    ],
)
def test_an_example_that_does_not_do_what_it_says_is_found(
    text: str, complaint: str, ranks: Ranks, tmp_path: Path
) -> None:
    (example,) = examples_of("page", text)
    with pytest.raises(AssertionError, match=complaint):
        follow(example, tmp_path, ranks.port())
