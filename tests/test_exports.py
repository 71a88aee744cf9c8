"""The public names: listed once, in order, lazily provided, and documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
import aelastic.errors
import aelastic.sync
import aelastic.testing
import aelastic.web

if TYPE_CHECKING:
    from types import ModuleType

_FACES = [aelastic, aelastic.errors, aelastic.sync, aelastic.testing, aelastic.web]
FACES = pytest.mark.parametrize("face", _FACES, ids=lambda face: face.__name__)


def public(face: ModuleType) -> list[str]:
    names = face.__all__
    assert isinstance(names, list)
    return names


def tree_of(face: ModuleType) -> ast.Module:
    return ast.parse(Path(str(face.__file__)).read_text())


def names_for_type_checkers(face: ModuleType) -> list[str]:
    """What is imported under ``if TYPE_CHECKING``."""
    blocks = [node for node in tree_of(face).body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname or alias.name for node in imports for alias in node.names]


def names_provided(face: ModuleType) -> dict[str, str]:
    """What ``lazily`` was given: the name, and the module that it comes from."""
    tables = [node for node in ast.walk(tree_of(face)) if isinstance(node, ast.Dict)]
    assert len(tables) == 1
    by_module: dict[str, tuple[str, ...]] = ast.literal_eval(tables[0])
    return {name: module for module, names in by_module.items() for name in names}


def in_a_child(script: str) -> str:
    """What ``script`` prints in a bare interpreter."""
    source = os.path.dirname(os.path.dirname(str(aelastic.__file__)))
    script = f"import sys; sys.path.insert(0, {source!r}); {script}"
    done = subprocess.run([sys.executable, "-SE", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


@FACES
def test_all_is_sorted_and_has_no_name_twice(face: ModuleType) -> None:
    assert public(face) == sorted(set(public(face)))


@FACES
def test_all_is_what_is_provided(face: ModuleType) -> None:
    assert set(public(face)) == set(names_provided(face))


@FACES
def test_all_is_what_type_checkers_see(face: ModuleType) -> None:
    assert sorted(names_for_type_checkers(face)) == public(face)


@FACES
def test_every_name_is_there_and_comes_from_where_the_table_says(face: ModuleType) -> None:
    for name, module in names_provided(face).items():
        assert getattr(face, name) is getattr(importlib.import_module(module), name)


@FACES
def test_no_private_name_is_public(face: ModuleType) -> None:
    assert not [name for name in public(face) if name.startswith("_")]


def documented_objects() -> list[Any]:
    """Every public class and function; a type alias (``Event``) has no docstring of its own."""
    found = list(dict.fromkeys(getattr(face, name) for face in _FACES for name in face.__all__))
    return [one for one in found if inspect.isclass(one) or inspect.isfunction(one)]


@pytest.mark.parametrize("one", documented_objects(), ids=lambda one: one.__name__)
def test_every_name_is_documented(one: Any) -> None:
    assert one.__doc__
    assert not one.__doc__.startswith(f"{one.__name__}("), "that is the docstring that dataclass makes up"


@pytest.mark.parametrize("one", list(filter(inspect.isclass, documented_objects())), ids=lambda one: one.__name__)
def test_every_public_method_is_documented(one: type[Any]) -> None:
    ours = [member for name, member in vars(one).items() if not name.startswith("_")]
    members = [member for member in ours if inspect.isfunction(member) or isinstance(member, property | classmethod)]
    assert not [member for member in members if not inspect.getdoc(member)]


def test_the_errors_are_the_same_at_both_faces() -> None:
    for name in aelastic.errors.__all__:
        assert getattr(aelastic, name) is getattr(aelastic.errors, name)


def test_the_version_is_that_of_the_package() -> None:
    assert aelastic.__version__ == version("aelastic")


def test_the_package_is_typed() -> None:
    assert Path(str(aelastic.__file__)).with_name("py.typed").is_file()


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'aelastic' has no attribute 'nothing'"):
        _ = importlib.import_module("aelastic").nothing


def test_a_star_gives_every_name() -> None:
    script = "from aelastic import *; print(*globals())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(aelastic.__all__) <= set(done.stdout.split())


CHEAP = ["import aelastic", "import aelastic.errors", "from aelastic import Std, record"]
CHEAP += ["import aelastic.testing", "import aelastic.web, aelastic.rank"]


@pytest.mark.parametrize("statement", CHEAP)
def test_importing_is_cheap(statement: str) -> None:
    imported = set(in_a_child(f"{statement}; print(*sys.modules)").split())
    assert "aelastic" in imported
    assert not imported & {"asyncio", "anyio", "aiofiles", "click", "dataclasses", "inspect", "logging", "subprocess"}


def test_importing_changes_nothing_about_signals_and_threads() -> None:
    state = "(threading.active_count(), [signal.getsignal(one) for one in sorted(signal.valid_signals())])"
    printed = in_a_child(f"import signal, threading; before = {state}; import aelastic; print(before == {state})")
    assert printed == "True\n"


TORCHS_NAMES = "ChildFailedError DefaultLogsSpecs ErrorHandler LogsDest LogsSpecs PContext ProcessFailure"
TORCHS_NAMES += " RunProcsResult SignalException Std SubprocessContext record start_processes to_map"


@pytest.mark.parametrize("name", TORCHS_NAMES.split())
def test_torchs_nouns_are_ours(name: str) -> None:
    assert name in aelastic.__all__
