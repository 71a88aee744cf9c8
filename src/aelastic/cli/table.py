"""The live table. Needs rich."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aelastic.cli.screen import Block
from aelastic.cli.words import duration, signal_name, size
from aelastic.events import RankState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from rich.console import RenderableType

    from aelastic.cli.usage import Usage
    from aelastic.events import RankSnapshot

_STYLES = {
    RankState.PENDING: "dim",
    RankState.RUNNING: "green",
    RankState.STOPPING: "yellow",
    RankState.EXITED: "dim",
    RankState.ABANDONED: "bold red",
}
_FEWEST_RANKS = 3
_BAR = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One rank in the table. ``usage`` None: not known."""

    rank: RankSnapshot
    usage: Usage | None


class Renderer:
    """Renders tables as ``terminal`` can show them."""

    def __init__(self, terminal: TextIO) -> None:
        self._console = Console(file=terminal, highlight=False, soft_wrap=False)

    def render(self, rows: Sequence[Row], title: str, now: float, columns: int, lines: int) -> Block:
        """At most half of the terminal, which has ``columns`` and ``lines``; ``now`` in seconds since the epoch."""
        most = max(_FEWEST_RANKS, lines // 2 - 3)
        shown = _most_interesting(rows, most)
        console = self._console
        with console.capture() as capture:
            console.print(Text(title, "bold", no_wrap=True, overflow="ellipsis"), width=columns)
            console.print(_table(shown, now), width=columns)
            if len(shown) < len(rows):
                console.print(Text(_of_the_rest(rows, shown), "dim"), width=columns, no_wrap=True, overflow="ellipsis")
        texts = capture.get().removesuffix("\n").split("\n")
        return Block(texts, [Text.from_ansi(text).cell_len for text in texts])


def _table(rows: Sequence[Row], now: float) -> Table:
    measured = any(row.usage is not None for row in rows)
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for name in ("rank", "state", "pid", "up", *(("cpu", "memory") if measured else ())):
        table.add_column(name, no_wrap=True, justify="left" if name == "state" else "right")
    table.add_column("status", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        table.add_row(*_cells(row, now, measured=measured))
    return table


def _cells(row: Row, now: float, *, measured: bool) -> list[RenderableType]:
    one = row.rank
    usage = row.usage
    cells: list[RenderableType] = [
        str(one.rank),
        _state(one),
        "" if one.pid is None else str(one.pid),
        "" if one.started_at is None else duration((one.ended_at or now) - one.started_at),
    ]
    if measured:
        cells += ["", ""] if usage is None else [f"{usage.cpu:.0f}%", size(usage.memory)]
    return [*cells, _status(one)]


def _state(one: RankSnapshot) -> Text:
    if one.exitcode:
        how = f"exit {one.exitcode}" if one.exitcode > 0 else signal_name(-one.exitcode)
        return Text(how, "red")
    return Text("done" if one.exitcode == 0 else one.state.value, _STYLES[one.state])


def _status(one: RankSnapshot) -> RenderableType:
    return Text.from_ansi(one.last_line)


def _most_interesting(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """If not all have room: the failed ones first, then those that neither run nor are done. Shown in order."""
    if len(rows) <= most:
        return rows
    return sorted(sorted(rows, key=_boredom)[:most], key=lambda row: row.rank.rank)


def _boredom(row: Row) -> int:
    if row.rank.exitcode:
        return 0
    return {RankState.RUNNING: 2, RankState.EXITED: 3}.get(row.rank.state, 1)


def _of_the_rest(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    states = [row.rank.state.value for row in rows if row not in shown]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return f"and {len(states)} more: {counts}"
