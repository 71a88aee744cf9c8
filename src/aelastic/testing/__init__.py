"""Ranks in tests: pytest's fixtures ``ranks`` and ``services``, and what they are made of.

The fixtures come by themselves (an entry point of pytest's), and cost nothing where they are not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.lazy import lazily

if TYPE_CHECKING:
    from aelastic.testing.faults import freeze, kill, line_of, resume
    from aelastic.testing.ranks import Ranks
    from aelastic.testing.services import Services

_NAMES = {
    "aelastic.testing.faults": ("freeze", "kill", "line_of", "resume"),
    "aelastic.testing.ranks": ("Ranks",),
    "aelastic.testing.services": ("Services",),
}

__all__ = ["Ranks", "Services", "freeze", "kill", "line_of", "resume"]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, _NAMES)
