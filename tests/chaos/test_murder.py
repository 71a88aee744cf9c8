"""Whenever the application is killed, everything of it goes, within moments. More: ``--chaos-murders 100``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.murder import murder
from tests.helpers.apps import LOOPS

if TYPE_CHECKING:
    from tests.chaos.session import Options

_FEW = 3


@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_outlives_an_application_that_is_killed(
    loop: str, options: Options, pytestconfig: pytest.Config
) -> None:
    victims = 0
    for seed in range(options.seed, options.seed + (pytestconfig.getoption("chaos_murders") or _FEW)):
        outcome = murder(seed, loop)
        victims += outcome.victims
        assert not outcome.complaints, str(outcome)
    assert victims
