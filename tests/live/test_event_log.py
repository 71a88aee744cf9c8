"""Events in a log: the standard library's, and one that takes values by name."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import aelastic
from aelastic.errors import ProcessFailure
from tests.helpers.ranks import shell

FAILED = aelastic.RunProcsResult(failures={1: ProcessFailure(1, 42, 3)})
LEVELS: list[tuple[aelastic.Event, int]] = [
    (aelastic.RankStarted(1, 42, 0.0), logging.INFO),
    (aelastic.RankExited(1, 42, 0, collateral=False, time=0.0), logging.INFO),
    (aelastic.RankExited(1, 42, -15, collateral=True, time=0.0), logging.INFO),
    (aelastic.RankExited(1, 42, 3, collateral=False, time=0.0), logging.WARNING),
    (aelastic.RankRestarting(1, 1, 0.5, "rank 1 exited with code 3", 0.0), logging.WARNING),
    (aelastic.GaveUp("rank 1 exited with code 3", 0.0), logging.ERROR),
    (aelastic.RunFinished(aelastic.RunProcsResult(), 0.0), logging.INFO),
    (aelastic.RunFinished(FAILED, 0.0), logging.WARNING),
]


@pytest.mark.parametrize(("event", "level"), LEVELS)
def test_a_record_has_the_sentence_and_the_mapping(
    event: aelastic.Event, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        aelastic.log_event(event, logging.getLogger("mine"))
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("mine", level, str(event))
    assert vars(record)["aelastic"] == event.to_dict()


def test_what_is_not_wanted_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "mine"):
        aelastic.log_event(LEVELS[0][0], logging.getLogger("mine"))
    assert caplog.records == []


@pytest.mark.asyncio
async def test_all_events_of_a_run_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "aelastic.events"):
        async with shell("exit 0") as ctx:
            logging_task = asyncio.create_task(aelastic.log_events(ctx.events()))
            await ctx.wait()
            await logging_task
    assert [record.getMessage().split(" with ")[0] for record in caplog.records if "events" in record.name] == [
        "rank 0 started",
        "rank 0 exited",
        "run succeeded",
    ]


@pytest.mark.parametrize("standard", [False, True], ids=["own logger", "over the standard library"])
def test_structlog_gets_values_by_name(standard: bool, caplog: pytest.LogCaptureFixture) -> None:
    structlog = pytest.importorskip("structlog")
    logged: list[dict[str, Any]] = []

    def keep(logger: object, method: str, values: dict[str, Any]) -> Any:
        logged.append({"method": method, **values})
        raise structlog.DropEvent

    if standard:
        logger = structlog.wrap_logger(
            logging.getLogger("mine"), processors=[keep], wrapper_class=structlog.stdlib.BoundLogger
        )
    else:
        logger = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[keep],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )
    event = LEVELS[4][0]
    aelastic.log_event(event, logger)
    (values,) = logged
    assert values["method"] == "warning"
    assert values["event"] == str(event)
    assert values["kind"] == "rank_restarting"
    assert (values["rank"], values["attempt"], values["delay"]) == (1, 1, 0.5)
