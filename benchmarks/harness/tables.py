"""Answers as text: for a terminal, for a file, for the README."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.harness import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.harness.budget import Verdict
    from benchmarks.harness.running import Answer

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_WORDS = {True: "holds", False: "**does not hold**", None: "-"}


def budget_table(verdicts: Iterable[Verdict]) -> str:
    """Markdown."""
    rows = [
        (one.budget.what, one.ours, one.budget.against, one.theirs, one.ratio, one.bound, _word(one))
        for one in verdicts
    ]
    return markdown(("what", "ours", "against", "theirs", "ratio", "budget", ""), rows)


def _word(verdict: Verdict) -> str:
    return f"- ({verdict.reason})" if verdict.reason else _WORDS[verdict.holds]


def answer_tables(answer: Answer) -> str:
    """Markdown: one table for each metric that is shown, a row for each case, a column for each contender."""
    question = answer.question
    names = [contender.name for contender in question.contenders]
    rows = []
    for case in question.cases:
        if case.name in answer.seen:
            cells = [_cell(answer, case.name, name, question.shown(case)) for name in names]
            rows.append((case.name, *cells))
    return f"**{question.title}** ({question.metrics[question.shown(question.cases[0])][1]})\n\n" + markdown(
        ("", *names), rows
    )


def _cell(answer: Answer, case: str, contender: str, metric: str) -> str:
    turns = answer.turns(case, contender)
    seen = numbers.spread(numbers.flat(turns, metric))
    if seen is None:
        return next((f"- ({one.reason})" for one in turns if one.reason), "-")
    unit = answer.question.metrics[metric][0]
    failed = [one for one in turns if one.reason]
    note = f"; {len(failed)} of {len(turns)} failed: {failed[0].reason}" if failed else ""
    return f"{_told(seen, unit)}{note}"


def _told(seen: numbers.Spread, unit: str) -> str:
    """The median, and what it is the median of."""
    median, least, most = (numbers.told(one, unit) for one in (seen.median, seen.least, seen.most))
    return median if seen.count == 1 else f"{median} ({least} to {most})"


def details(answer: Answer) -> str:
    """Plain text: every metric of every contender."""
    lines = [answer.question.title]
    for case, contenders in answer.seen.items():
        for name, turns in contenders.items():
            told = []
            for metric, (unit, _) in answer.question.metrics.items():
                if seen := numbers.spread(numbers.flat(turns, metric)):
                    told.append(f"{metric} {_told(seen, unit)}")
            told += sorted({one.reason for one in turns if one.reason})
            lines.append(f"  {case:28} {name:26} {', '.join(told)}")
    return "\n".join(lines)


def markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table."""
    cells = [head, *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


def put_between_markers(path: Path, text: str) -> None:
    """Replace what is between the markers in ``path``. Raises ``ValueError`` without markers."""
    before = path.read_text()
    if BEGIN not in before or END not in before:
        raise ValueError(f"{path} has no {BEGIN} and {END}")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    path.write_text(pattern.sub(lambda _: f"{BEGIN}\n{text.strip()}\n{END}", before))
