"""The live table. Needs rich."""

from __future__ import annotations

import io
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

    from rich.console import RenderableType

    from aelastic.events import RankProgress, RankSnapshot
    from aelastic.process.usage import Usage

_STYLES = {
    RankState.PENDING: "dim",
    RankState.RUNNING: "green",
    RankState.STOPPING: "yellow",
    RankState.EXITED: "dim",
    RankState.ABANDONED: "bold red",
    RankState.WAITING: "yellow",
}
_FEWEST_RANKS = 3
_BAR = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One rank in the table. ``usage`` None: not known."""

    rank: RankSnapshot
    usage: Usage | None


class Renderer:
    """Renders tables as the terminal of the environment can show them."""

    def __init__(self) -> None:
        # Into memory: even a capture writes to its file, which raises when the terminal has gone away.
        self._console = Console(file=io.StringIO(), force_terminal=True, highlight=False, soft_wrap=False)

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
    restarted = any(row.rank.attempt for row in rows)
    names = ["rank", "state", "pid", "up", *(["restarts"] * restarted), *(["cpu", "memory"] * measured)]
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for name in names:
        table.add_column(name, no_wrap=True, justify="left" if name == "state" else "right")
    table.add_column("status", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows:
        cells = _cells(row, now)
        table.add_row(*(cells[name] for name in names), _status(row.rank))
    return table


def _cells(row: Row, now: float) -> dict[str, RenderableType]:
    one, usage = row.rank, row.usage
    return {
        "rank": str(one.rank),
        "state": _state(one),
        "pid": "" if one.pid is None else str(one.pid),
        "up": "" if one.started_at is None else duration((one.ended_at or now) - one.started_at),
        "restarts": str(one.attempt),
        "cpu": "" if usage is None else f"{usage.cpu:.0f}%",
        "memory": "" if usage is None else size(usage.memory),
    }


def _state(one: RankSnapshot) -> Text:
    if one.exitcode and one.state is not RankState.WAITING:
        how = f"exit {one.exitcode}" if one.exitcode > 0 else signal_name(-one.exitcode)
        return Text(how, "red")
    return Text("done" if one.exitcode == 0 else one.state.value, _STYLES[one.state])


def _status(one: RankSnapshot) -> Text:
    """How far it is, and what it has told last: a status, else its last line."""
    progress = Text() if one.progress is None else _bar(one.progress)
    return progress.append_text(Text.from_ansi(one.status or one.last_line))


def _bar(progress: RankProgress) -> Text:
    if not progress.total or progress.total < 0:
        return Text(f"{progress.done:g} ", "cyan")
    share = min(1.0, max(0.0, progress.done / progress.total))
    full = round(share * _BAR)
    return Text.assemble(
        ("━" * full, "green"), ("─" * (_BAR - full), "dim"), (f" {progress.done:g}/{progress.total:g} ", "cyan")
    )


def _most_interesting(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """If not all have room: the failed ones first, then those that neither run nor are done. Shown in order."""
    if len(rows) <= most:
        return rows
    return sorted(sorted(rows, key=_boredom)[:most], key=lambda row: row.rank.rank)


def _boredom(row: Row) -> int:
    if row.rank.exitcode and row.rank.state is not RankState.WAITING:
        return 0
    return {RankState.RUNNING: 2, RankState.EXITED: 3}.get(row.rank.state, 1)


def _of_the_rest(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    states = [row.rank.state.value for row in rows if row not in shown]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    return f"and {len(states)} more: {counts}"
