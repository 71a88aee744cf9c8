"""One trial, in the interpreter of its own that ``trial`` has started: ``QUESTION CASE CONTENDER DIRECTORY``."""

from __future__ import annotations

import json
import resource
import sys
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.contenders.job import CannotError


def main(question: str, case: str, contender: str, directory: str) -> None:
    """Measure; an exception is an answer as well."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Path(directory, "result.json").write_text(json.dumps(answer(question, case, contender, Path(directory))))


def answer(question: str, case: str, contender: str, directory: Path) -> dict[str, object]:
    """``values``, or why there are none: ``cannot`` (it is not made for that) or ``failed``."""
    asked = import_module(f"benchmarks.bench_{question}").QUESTION
    try:
        values = asked.measure(asked.contender(contender), directory, **asked.case(case).arguments)
    except CannotError as error:
        return {"cannot": str(error)}
    except ImportError as error:
        return {"cannot": f"{error.name} is not installed"}
    except Exception as error:  # noqa: BLE001 - whatever a user would see
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"values": values}


if __name__ == "__main__":
    main(*sys.argv[1:])
