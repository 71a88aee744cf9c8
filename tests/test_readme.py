"""The code in the README does what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.pages import README, Example, examples
from tests.helpers.reader import follow

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.testing import Ranks


@pytest.mark.timeout(120)
@pytest.mark.parametrize("example", examples(README), ids=str)
def test_an_example_shows_what_the_readme_says(example: Example, ranks: Ranks, tmp_path: Path) -> None:
    follow(example, tmp_path, ranks.port())
