"""What function ranks do. Importable by every contender's ranks."""

from __future__ import annotations


def trivial(rank: int) -> int:
    """As little as can be."""
    return rank


def heavy(rank: int) -> int:
    """Something that needs a module whose import takes long."""
    import numpy as np

    return int(np.int64(rank))


def large(rank: int, size: int) -> bytes:
    """``size`` bytes."""
    return b"x" * size
