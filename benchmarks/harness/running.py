"""Questions, cases and contenders in turns: a b c a b c …, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.harness.trial import Seen, perform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.harness.progress import Progress
    from benchmarks.harness.question import Case, Question

ORDER = (
    "launch",
    "exit",
    "failure",
    "close",
    "redirect",
    "tee",
    "slow_writers",
    "subscriber",
    "stall",
    "web",
    "idle",
    "footprint",
    "functions",
    "value",
    "import",
    "launcher",
    "live_table",
)


@dataclass(slots=True)
class Answer:
    """What was seen: by case, by contender, one ``Seen`` for each turn; with the facts of the machine once stored."""

    question: Question
    seen: dict[str, dict[str, list[Seen]]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def turns(self, case: str, contender: str) -> list[Seen]:
        """Empty if it was not asked."""
        return self.seen.get(case, {}).get(contender, [])

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        cases = {
            case: {contender: [asdict(one) for one in turns] for contender, turns in contenders.items()}
            for case, contenders in self.seen.items()
        }
        return {"question": self.question.name, "title": self.question.title, "cases": cases}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked. ``repeat``: turns, None: each question's own number."""

    questions: tuple[Question, ...]
    repeat: int | None = None
    quick: bool = False

    def cases(self, question: Question) -> list[Case]:
        """The cases of ``question``."""
        return [case for case in question.cases if not self.quick or case.name in question.quick]

    def turns(self, question: Question, case: Case) -> int:
        """How often."""
        return self.repeat or (1 if self.quick else case.turns or question.turns)

    def trials(self) -> int:
        """How many there are at most."""
        return sum(
            self.turns(question, case) * len(question.contenders)
            for question in self.questions
            for case in self.cases(question)
        )


def questions(names: list[str]) -> tuple[Question, ...]:
    """Those with these names, all if there are none."""
    unknown = set(names) - set(ORDER)
    if unknown:
        raise SystemExit(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    return tuple(import_module(f"benchmarks.bench_{name}").QUESTION for name in ORDER if not names or name in names)


def ask(plan: Plan, progress: Progress) -> Iterator[Answer]:
    """Each answer, as soon as there is one."""
    for question in plan.questions:
        answer = Answer(question)
        for case in plan.cases(question):
            answer.seen[case.name] = {contender.name: [] for contender in question.contenders}
            for _ in range(plan.turns(question, case)):
                for contender in question.contenders:
                    progress.step(f"{question.name}, {case.name}: {contender.name}")
                    seen = _ask(question, case, contender, answer.turns(case.name, contender.name))
                    answer.seen[case.name][contender.name].append(seen)
        yield answer


def _ask(question: Question, case: Case, contender: Contender, before: list[Seen]) -> Seen:
    """Who could not, or took too long, is not asked again."""
    hopeless = next((one for one in before if one.cannot or one.late), None)
    return perform(question, case, contender) if hopeless is None else hopeless


def load(directory: Path) -> list[Answer]:
    """What earlier runs have written."""
    answers = []
    for question in questions([]):
        path = directory / f"{question.name}.json"
        if path.exists():
            stored = json.loads(path.read_text())
            answer = Answer(question, machine=stored["machine"])
            for case, contenders in stored["cases"].items():
                answer.seen[case] = {name: [Seen(**one) for one in turns] for name, turns in contenders.items()}
            answers.append(answer)
    return answers
