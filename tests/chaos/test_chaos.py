"""Gangs drawn from a seed, each judged when it is over. Longer: ``pytest tests/chaos --chaos-gangs 1000``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cell import own_cell
from tests.chaos.session import Session, loop_name

if TYPE_CHECKING:
    from tests.chaos.session import Failure, Options


@pytest.mark.asyncio
async def test_whatever_is_drawn_goes_well(options: Options) -> None:
    failures: list[Failure | None] = []
    session = Session(options, loop_name(), failures.append)
    with own_cell():
        await session.run(until_failure=True)
    assert not any(failures), f"from seed {options.seed} on:\n{failures[-1]}"
    print(f"seed {options.seed}: {session.tally.gangs} gangs, {session.tally.ranks} ranks")
    assert session.tally.ranks
