"""Names that are imported when first used."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import pytest

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def package() -> Iterator[types.ModuleType]:
    """A package that gets ``loads`` from ``json`` when asked for it."""
    made = types.ModuleType("lazy_package_of_a_test")
    sys.modules[made.__name__] = made
    made.__getattr__ = lazily(made.__name__, {"json": ("loads",), "no_such_module": ("lost",)})  # type: ignore[method-assign]
    yield made
    del sys.modules[made.__name__]


def test_a_name_comes_from_its_module(package: types.ModuleType) -> None:
    assert package.loads("1") == 1


def test_it_is_looked_up_once(package: types.ModuleType) -> None:
    assert "loads" not in vars(package)
    found = package.loads
    assert vars(package)["loads"] is found


def test_another_name_is_an_attribute_error(package: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match="'lazy_package_of_a_test' has no attribute 'dumps'"):
        _ = package.dumps
    assert not hasattr(package, "__path__")


def test_a_module_that_is_missing_is_an_import_error(package: types.ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        _ = package.lost
