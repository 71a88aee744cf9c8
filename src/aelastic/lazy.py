"""Public names that are imported when first used (PEP 562), so that a rank pays only for what it needs."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def lazily(
    package: str, names_by_module: Mapping[str, Sequence[str]], extra: str | None = None
) -> Callable[[str], object]:
    """A module ``__getattr__`` for ``package`` that imports each name from the module it lives in.

    What is missing for that is said to be in ``extra``.
    """
    homes = {name: module for module, names in names_by_module.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if extra is None:
                raise
            text = f"{package} needs {error.name}: pip install 'aelastic[{extra}]'"
            raise ModuleNotFoundError(text, name=error.name) from error
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
