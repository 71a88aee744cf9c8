"""One performance, in the interpreter of its own that the arena has started: ``NAME CONTENDER DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.faults.scenarios import SCENARIOS
from benchmarks.faults.stage import Stage


def main(name: str, contender: str, directory: str) -> None:
    """Do it; an exception is a fact."""
    stage = Stage(Path(directory))
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    act = scenario.torch if contender == "torch" else scenario.aelastic
    assert callable(act)
    try:
        act(stage)
    except Exception as error:  # noqa: BLE001 - whatever a user would see
        stage.note(raised=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


if __name__ == "__main__":
    main(*sys.argv[1:])
