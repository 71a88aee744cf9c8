"""A fork has the locks of threads that it does not have."""

from __future__ import annotations

import pytest

from tests.helpers.apps import LOOPS, Application


@pytest.mark.parametrize("loop", LOOPS)
def test_a_rank_becomes_one_while_a_codec_is_imported_elsewhere(loop: str) -> None:
    with Application("app_forks_amid_imports", loop, options=("-W", "ignore")) as app:
        assert app.line("values:") == "values: {0: 'worked'}\n"
        assert app.ended().code == 0
