"""Where a function may come from: scripts, modules, ``python -c``, notebooks, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

RUN = """
import asyncio, aelastic

def square(value):
    return value * value

async def main(method):
    async with aelastic.start_processes("f", square, {0: (3,), 1: (4,)}, {0: {}, 1: {}}, start_method=method) as ctx:
        return (await ctx.wait()).return_values
"""
GUARDED = (
    RUN
    + """
if __name__ == "__main__":
    print(asyncio.run(main("METHOD")))
"""
)
UNGUARDED = (
    RUN
    + """
print(asyncio.run(main("METHOD")))
"""
)
METHODS = ("spawn", "fork", "forkserver")


def python(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


@pytest.mark.parametrize("method", METHODS)
def test_a_function_of_a_script(method: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(GUARDED.replace("METHOD", method))
    done = python("script.py", cwd=tmp_path)
    assert done.stdout == "{0: 9, 1: 16}\n", done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_a_function_of_a_module(method: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "job.py").write_text(GUARDED.replace("METHOD", method))
    done = python("-m", "package.job", cwd=tmp_path)
    assert done.stdout == "{0: 9, 1: 16}\n", done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_a_function_of_a_command_line(method: str, tmp_path: Path) -> None:
    done = python("-c", UNGUARDED.replace("METHOD", method), cwd=tmp_path)
    assert done.stdout == "{0: 9, 1: 16}\n", done.stderr


def test_a_script_without_a_main_guard_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED.replace("METHOD", "spawn"))
    done = python("script.py", cwd=tmp_path)
    assert "if __name__ == '__main__'" in done.stderr


def test_a_notebook(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [RUN, "print(await main('spawn'))", "print(await main('forkserver'))"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    command = "import sys, nbformat, nbclient; nb = nbformat.read(sys.argv[1], 4); "
    command += (
        "nbclient.NotebookClient(nb, timeout=60, kernel_name='python3').execute(); nbformat.write(nb, sys.argv[1])"
    )
    path = tmp_path / "notebook.ipynb"
    nbformat.write(notebook, path)
    assert nbclient is not None
    done = python("-c", command, str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(path, 4)
    shown = ["".join(output.get("text", "") for output in cell.outputs) for cell in executed.cells]
    assert shown == ["", "{0: 9, 1: 16}\n", "{0: 9, 1: 16}\n"]


def test_the_fork_server_imports_once(tmp_path: Path) -> None:
    (tmp_path / "heavy.py").write_text(
        "import os, time\nwith open(os.environ['NOTE'], 'a') as note: note.write('imported\\n')\ntime.sleep(0.3)\n"
        "def work(value):\n    return value\n"
    )
    (tmp_path / "script.py").write_text(
        "import asyncio, aelastic, importlib\n"
        "def work(value):\n    import heavy; return heavy.work(value)\n"
        "async def main():\n"
        "    ranks = range(8)\n"
        "    async with aelastic.start_processes('f', work, {r: (r,) for r in ranks}, {r: {} for r in ranks},\n"
        "            start_method='forkserver', preload=['heavy']) as ctx:\n"
        "        print((await ctx.wait()).return_values)\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n"
    )
    env = {**os.environ, "NOTE": str(tmp_path / "note"), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False, env=env
    )
    assert done.stdout == "{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}\n", done.stderr
    assert (tmp_path / "note").read_text() == "imported\n"
