"""The live table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.text import Text

from aelastic.cli.table import Renderer, Row
from aelastic.events import RankProgress, RankSnapshot, RankState
from aelastic.process.usage import Usage

NOW = 1_700_000_100.0


def snapshot(rank: int, state: RankState = RankState.RUNNING, **values: Any) -> RankSnapshot:
    known = {
        "pid": 100 + rank,
        "exitcode": None,
        "started_at": NOW - 7,
        "ended_at": None,
        "last_line": f"line of {rank}",
    }
    return RankSnapshot(rank, state, **{**known, **values})


def rendered(*rows: Row, columns: int = 80, lines: int = 24) -> list[str]:
    block = Renderer().render(rows, "train.py", NOW, columns, lines)
    plain = [Text.from_ansi(row).plain for row in block.rows]
    assert list(block.cells) == [len(row) for row in plain]
    assert max(block.cells) <= columns
    return [" ".join(row.split()) for row in plain]


def test_one_line_for_each_rank() -> None:
    assert rendered(
        Row(snapshot(0), Usage(97.6, 300 * 2**20)),
        Row(snapshot(1, RankState.STOPPING), Usage()),
        Row(snapshot(2, RankState.EXITED, exitcode=0, ended_at=NOW - 3), None),
        Row(snapshot(3, RankState.EXITED, exitcode=3, ended_at=NOW - 3), None),
        Row(snapshot(4, RankState.EXITED, exitcode=-9, ended_at=NOW - 3), None),
        Row(snapshot(5, RankState.PENDING, pid=None, started_at=None, last_line=""), None),
        Row(snapshot(6, RankState.ABANDONED), None),
    ) == [
        "train.py",
        "rank state pid up cpu memory status",
        "0 running 100 0:07 98% 300M line of 0",
        "1 stopping 101 0:07 0% 0B line of 1",
        "2 done 102 0:04 line of 2",
        "3 exit 3 103 0:04 line of 3",
        "4 SIGKILL 104 0:04 line of 4",
        "5 pending",
        "6 abandoned 106 0:07 line of 6",
    ]


def test_restarts_are_shown_when_there_are_some() -> None:
    waiting = snapshot(1, RankState.WAITING, exitcode=3, ended_at=NOW - 3, attempt=2)
    assert rendered(Row(snapshot(0), None), Row(waiting, None))[1:] == [
        "rank state pid up restarts status",
        "0 running 100 0:07 0 line of 0",
        "1 waiting 101 0:04 2 line of 1",
    ]


def test_what_cannot_be_measured_has_no_column() -> None:
    assert rendered(Row(snapshot(0), None))[1] == "rank state pid up status"


@pytest.mark.parametrize("columns", [30, 40, 80, 200])
def test_no_row_is_wider_than_the_terminal(columns: int) -> None:
    long = snapshot(0, last_line="an endless line " * 100)
    assert len(rendered(Row(long, Usage(100, 2**30)), columns=columns)) == 3


def test_colours_of_the_rank_do_not_count_as_width() -> None:
    block = Renderer().render([Row(snapshot(0, last_line="\x1b[31mred\x1b[m"), None)], "t", NOW, 60, 24)
    assert all(cells <= 60 for cells in block.cells)
    assert "red" in block.rows[-1]


def test_many_ranks_take_half_of_the_terminal_and_failed_ones_come_first() -> None:
    rows = [Row(snapshot(rank), None) for rank in range(64)]
    rows[40] = Row(snapshot(40, RankState.EXITED, exitcode=1), None)
    rows[50] = Row(snapshot(50, RankState.EXITED, exitcode=0), None)
    rows[60] = Row(snapshot(60, RankState.STOPPING), None)
    shown = rendered(*rows)
    assert len(shown) == 12
    assert [row.split()[0] for row in shown[2:-1]] == [*map(str, range(7)), "40", "60"]
    assert shown[-1] == "and 55 more: 1 exited, 54 running"


def progress(done: float, total: float | None) -> RankProgress:
    return RankProgress(0, done, total, NOW)


@pytest.mark.parametrize(
    ("status", "told", "shown"),
    [
        ("", None, "line of 0"),
        ("epoch 3", None, "epoch 3"),
        ("epoch 3", progress(5, 20), f"{'━' * 5}{'─' * 15} 5/20 epoch 3"),
        ("", progress(40, 20), f"{'━' * 20} 40/20 line of 0"),
        ("", progress(7, None), "7 line of 0"),
        ("", progress(7, 0), "7 line of 0"),
    ],
)
def test_what_a_rank_tells(status: str, told: RankProgress | None, shown: str) -> None:
    assert rendered(Row(replace(snapshot(0), status=status, progress=told), None))[2] == f"0 running 100 0:07 {shown}"


def test_hours() -> None:
    assert "1:00:07" in rendered(Row(snapshot(0, started_at=NOW - 3607), None))[2]
