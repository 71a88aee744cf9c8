"""A rank that runs a script in an interpreter that is there already."""

from __future__ import annotations

import runpy
import sys


def run_script(path: str, *args: str) -> None:
    """Run the Python file at ``path`` as the main program with ``args``. Its values are of no interest."""
    sys.argv = [path, *args]
    runpy.run_path(path, run_name="__main__")
