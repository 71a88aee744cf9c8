"""What the tests of the command line share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aelastic.cli.app import run
from aelastic.cli.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def torch_run() -> Any:
    """The module of ``torchrun``, where it is installed."""
    return pytest.importorskip("torch.distributed.run")


@pytest.fixture
def parsed() -> Callable[..., Settings]:
    """What a command line, from ``run`` on, comes to."""

    def parse(*args: str) -> Settings:
        return Settings(**run.make_context("run", [*args]).params)

    return parse
