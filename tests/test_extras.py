"""What needs an extra says which one where it is missing; what can do without does."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires

import pytest

HTTP_PROBE = """
import asyncio, aelastic

async def main():
    await aelastic.start_processes("x", "true", {0: ()}, {0: {}}, readiness=aelastic.HttpProbe("http://127.0.0.1:1/"))

asyncio.run(main())
"""

LOSE = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == {module!r} else find(name, *rest)
"""


def modules_of(extra: str) -> list[str]:
    """What the packages of the extra are imported as."""
    asked = [one for one in requires("aelastic") or () if re.search(rf"extra == ['\"]{extra}['\"]", one)]
    return [re.match(r"[\w-]+", one)[0].replace("-", "_") for one in asked]  # type: ignore[index]


def without(module: str, script: str) -> subprocess.CompletedProcess[str]:
    """What ``script`` does in an interpreter that does not find ``module``."""
    return subprocess.run(
        [sys.executable, "-c", LOSE.format(module=module) + script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "script", "says"),
    [
        *(
            (one, "from aelastic.web import dashboard", f"aelastic.web needs {one}: pip install 'aelastic[web]'")
            for one in modules_of("web")
        ),
        *((one, HTTP_PROBE, f"HttpProbe needs {one}: pip install 'aelastic[http]'") for one in modules_of("http")),
    ],
)
def test_a_missing_extra_is_named(module: str, script: str, says: str) -> None:
    done = without(module, script)
    assert done.returncode == 1
    assert says in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("module", modules_of("cli"))
def test_the_command_line_does_without(module: str) -> None:
    script = (
        "import sys; sys.argv = ['aelastic', 'run', '--no-python', 'true']; import aelastic.cli; aelastic.cli.main()"
    )
    done = without(module, script)
    assert done.returncode == 0, done.stderr


def test_the_extras_are_known() -> None:
    assert {"starlette", "msgspec"} <= set(modules_of("web"))
    assert modules_of("http") == ["h11"]
    assert set(modules_of("cli")) == {"psutil", "rich"}
