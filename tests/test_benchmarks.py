"""The benchmarks' own promises: a trial measures, says why not, and leaves nothing. What they measure is theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.bench_close import QUESTION
from benchmarks.contenders import AELASTIC, SIMPERVISOR, SUPERVICE
from benchmarks.harness import budget, numbers, tables
from benchmarks.harness.running import ORDER, Answer, questions
from benchmarks.harness.trial import Seen, perform

POLITE = QUESTION.case("8 polite ranks")
DEAF = QUESTION.case("8 deaf ranks")


def test_a_trial_measures() -> None:
    seen = perform(QUESTION, POLITE, AELASTIC)
    assert seen.reason == ""
    assert all(seconds > 0 for seconds in numbers.values_of(seen, "seconds"))


def test_who_cannot_do_it_is_shown_with_the_reason() -> None:
    seen = perform(QUESTION, DEAF, SIMPERVISOR)
    assert seen.cannot
    answer = Answer(QUESTION, {DEAF.name: {SIMPERVISOR.name: [seen]}})
    assert f"- ({seen.reason})" in tables.answer_tables(answer)
    assert seen.reason in tables.details(answer)


def test_a_trial_that_does_not_end_is_ended_with_its_ranks() -> None:
    seen = perform(replace(QUESTION, limit=0.8), DEAF, AELASTIC)
    assert seen.late
    assert seen.reason.startswith("ended after 1 s")  # the fixture sees whether something is left


def test_a_failure_is_shown_beside_what_succeeded() -> None:
    turns = [Seen({"seconds": [0.5, 0.7, 0.6]}), Seen(reason="AssertionError: no")]
    answer = Answer(QUESTION, {POLITE.name: {SUPERVICE.name: turns}})
    assert "600 ms (500 ms to 700 ms); 1 of 2 failed: AssertionError: no" in tables.answer_tables(answer)


def test_every_file_is_a_question_and_every_row_of_the_budget_one_of_its_cases() -> None:
    files = {
        path.stem.removeprefix("bench_") for path in (Path(__file__).parent.parent / "benchmarks").glob("bench_*.py")
    }
    assert files == set(ORDER)
    asked = {question.name: question for question in questions([])}
    for row in budget.budgets((3, 11)):
        question = asked[row.question]
        names = {contender.name for contender in question.contenders}
        assert row.metric in question.metrics
        assert question.case(row.case)
        assert {row.ours, *filter(None, [row.theirs])} <= names


@pytest.mark.parametrize(("ours", "word"), [(0.009, "holds"), (0.5, "**does not hold**")])
def test_the_budget_is_judged_by_the_ratios_within_the_turns(ours: float, word: str) -> None:
    (question,) = questions(["exit"])
    seen = {"aelastic": [Seen({"seconds": [ours, ours]})] * 2, "torch": [Seen({"seconds": 1.0})] * 2}
    verdict = budget.judge({"exit": Answer(question, {"1 rank": seen})})[0]
    assert tables.budget_table([verdict]).splitlines()[-1].endswith(f"| {word} |")


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    tables.put_between_markers(path, "new \\1\n")
    assert path.read_text() == f"before\n{tables.BEGIN}\nnew \\1\n{tables.END}\nafter\n"
