"""Which of a rank's two output streams is meant."""

from __future__ import annotations

import re
from enum import IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Std(IntFlag):
    """The standard streams of a rank, as flags. Names and values are torch's."""

    NONE = 0
    OUT = 1
    ERR = 2
    ALL = 3

    @classmethod
    def from_str(cls, text: str) -> Std | dict[int, Std]:
        """Parse ``"3"`` (every rank) or ``"0:3,1:0"`` (by local rank).

        Unlike torch's, a rank may have any number of digits and nothing may follow the last value.
        Raises ``ValueError`` on anything else.
        """
        if re.fullmatch("[0-3]", text):
            return cls(int(text))
        if not re.fullmatch("[0-9]+:[0-3](,[0-9]+:[0-3])*", text):
            raise ValueError(f"{text!r} is neither one value 0-3 nor a mapping such as '0:3,1:0' (rank:value)")
        pairs = (item.split(":") for item in text.split(","))
        return {int(rank): cls(int(value)) for rank, value in pairs}


def to_map(val_or_map: Std | Mapping[int, Std], local_world_size: int) -> dict[int, Std]:
    """Spread one value, or a partial mapping by local rank, over ``local_world_size`` ranks (missing ranks: NONE)."""
    if isinstance(val_or_map, Std):
        return dict.fromkeys(range(local_world_size), val_or_map)
    return {rank: val_or_map.get(rank, Std.NONE) for rank in range(local_world_size)}
