"""Measure what aelastic costs, against others, in the same run.

    python -m benchmarks [--only NAME] [--repeat N] [--quick] [--json] [--results DIR] [--update-readme] [--report]

Results, tables and plots are written to ``benchmarks/results``. A full run takes about a quarter of an hour on two
cores. What each question is, and how to read the answers: ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import machine, tables
from benchmarks.harness.budget import judge
from benchmarks.harness.progress import progress
from benchmarks.harness.running import ORDER, Answer, Plan, ask, load, questions

_HERE = Path(__file__).parent


def main() -> None:
    """Ask, write, print."""
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    if not options.report:
        _run(options)
    answers = load(options.results)
    written = report(answers, options.results)
    if options.json:
        print(json.dumps({answer.question.name: answer.to_dict() for answer in answers}, indent=1))
    else:
        print("\n\n".join(tables.details(answer) for answer in answers))
        print("\n" + tables.budget_table(judge({answer.question.name: answer for answer in answers})))
    if options.update_readme:
        tables.put_between_markers(_HERE.parent / "README.md", written)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=f"one of {', '.join(ORDER)}")
    parser.add_argument("--repeat", type=int, metavar="N", help="turns for each case, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="one turn of the cases that the budget is about")
    parser.add_argument("--json", action="store_true", help="print everything that was seen as JSON")
    parser.add_argument("--results", type=Path, default=_HERE / "results", metavar="DIR", help="where files go")
    parser.add_argument("--report", action="store_true", help="ask nothing: tables and plots of what is there")
    parser.add_argument("--update-readme", action="store_true", help="put the table between the README's markers")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> None:
    plan = Plan(questions(options.only), options.repeat, options.quick)
    facts = machine.facts()
    shown = progress(plan.trials())
    try:
        for answer in ask(plan, shown):
            _write(options.results, answer, {**facts, "load_after": list(os.getloadavg())})
    finally:
        shown.close()


def _write(directory: Path, answer: Answer, facts: dict[str, Any]) -> None:
    path = directory / f"{answer.question.name}.json"
    path.write_text(json.dumps({"machine": facts, **answer.to_dict()}, indent=1) + "\n")


def report(answers: list[Answer], directory: Path) -> str:
    """Write ``table.md``, ``all.md`` and the plots; the text of the first."""
    by_name = {answer.question.name: answer for answer in answers}
    text = f"{_circumstances(answers)}\n\n{tables.budget_table(judge(by_name))}"
    directory.joinpath("table.md").write_text(text)
    everything = [text, *map(tables.answer_tables, answers)]
    directory.joinpath("all.md").write_text("\n\n".join(everything))
    try:
        from benchmarks.harness.plots import draw
    except ImportError as error:
        print(f"no plots: {error.name} is not installed (pip install '.[bench]')", file=sys.stderr)
    else:
        draw(by_name, directory)
    return text


def _circumstances(answers: list[Answer]) -> str:
    """Of every machine and day that figures are from."""
    facts = [answer.machine for answer in answers]
    return "\n".join(dict.fromkeys(machine.sentence(one, facts[-1]["load_after"]) for one in facts))


if __name__ == "__main__":
    main()
