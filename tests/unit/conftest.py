"""Unit tests: no loop, no process of aelastic's, no waiting."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# ``AELASTIC_TEST_EXAMPLES=5000`` looks for longer.
settings.register_profile("aelastic", deadline=None, max_examples=int(os.environ.get("AELASTIC_TEST_EXAMPLES", "100")))
settings.load_profile("aelastic")

_NOBODY = 65534


@pytest.fixture(scope="session")
def torch_mp() -> Any:
    """The package that ours re-imagines, where it is installed."""
    return pytest.importorskip("torch.distributed.elastic.multiprocessing")


@pytest.fixture(scope="session")
def torch_errors(torch_mp: Any) -> Any:
    """Torch's ``record``, ``ProcessFailure`` and ``ChildFailedError``."""
    return pytest.importorskip("torch.distributed.elastic.multiprocessing.errors")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Root may read and write everything: be somebody else for a while, who may not even enter ``tmp_path``."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
