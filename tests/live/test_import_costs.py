"""What a launch of programs does without. Each of these takes a tenth of the time of a short ``aelastic run``."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
sys.argv = ["aelastic", "run", "--no-python", "true"]
from aelastic.cli import main
try:
    main()
finally:
    print(*sys.modules)
"""
SPARED = {"cloudpickle", "importlib.metadata", "multiprocessing.process", "psutil", "rich"}


def test_a_run_of_programs_imports_little() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert not SPARED & set(done.stdout.split())
