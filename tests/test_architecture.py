"""The house rules, read off the source: floors, monopolies, sizes, docstrings. Nothing is imported or run.

A rule takes one module and yields complaints that say what to do. ``BROKEN`` shows that each rule can fail.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SOURCE = Path(__file__).parent.parent / "src" / "aelastic"

# From the ground up. A module stands on the floor of its file or folder directly below ``aelastic``.
FLOORS: dict[str, frozenset[str]] = {
    "words": frozenset({"std", "results", "events", "lazy", "numa", "errors", "rank", "readiness"}),
    "decisions": frozenset({"decide"}),
    "devices": frozenset({"process", "logs", "worker"}),
    "conductors": frozenset({"conduct"}),
    "supervisors": frozenset({"elastic"}),  # conduct runs one after another, and side by side
    "doors": frozenset({"__init__", "__main__", "cli", "web", "testing", "sync"}),
}
HEIGHT = {place: height for height, places in enumerate(FLOORS.values()) for place in places}
LOWER_FLOORS = FLOORS["words"] | FLOORS["decisions"]

LONGEST_FUNCTION = 50
LONGEST_FILE = 300


@dataclass(frozen=True)
class Import:
    """``lazy``: inside a function; ``typing``: under ``if TYPE_CHECKING``."""

    line: int
    module: str
    lazy: bool
    typing: bool


@dataclass(frozen=True)
class Module:
    """One file; ``path`` is relative to the package, such as ``decide/gang.py``."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def place(self) -> str:
        """The file or folder directly below the package."""
        return self.path.split("/")[0].removesuffix(".py")

    @property
    def name(self) -> str:
        """As in an import."""
        return "aelastic." + self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree, lazy=False, typing=False))

    @cached_property
    def uses(self) -> list[tuple[int, str]]:
        """Every dotted name that is used or imported, such as ``os.environ``, whatever it is called here."""
        return [*_from_imports(self.tree), *_dotted_names(self.tree)]

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"


Rule: TypeAlias = "Callable[[Module], Iterator[str]]"


def _imports(node: ast.AST, *, lazy: bool, typing: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(node.lineno, alias.name, lazy, typing) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.lineno, "." * node.level + (node.module or ""), lazy, typing)
    lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    only_for_typing = node.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" else []
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, lazy=lazy, typing=typing or child in only_for_typing)


def _from_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def _dotted_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    imports = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    real_names = {alias.asname: alias.name for alias in imports if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := _dotted(node)):
            first, _, rest = name.partition(".")
            yield node.lineno, f"{real_names.get(first, first)}.{rest}"


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` for a name with attributes, else empty."""
    if isinstance(node, ast.Name):
        return node.id
    below = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{below}.{node.attr}" if isinstance(node, ast.Attribute) and below else ""


# Floors


def imports_go_down(module: Module) -> Iterator[str]:
    if module.place not in HEIGHT:
        yield f"{module.path}: on which floor is {module.place!r}? Say so in FLOORS"
        return
    for one in module.imports:
        if one.module.startswith("."):
            yield f"{module.at(one.line)}: a relative import; write it from the package on (aelastic...)"
        elif one.module.split(".")[0] == "aelastic":
            yield from _complain_about_import(module, one)


def _complain_about_import(module: Module, one: Import) -> Iterator[str]:
    place = one.module.split(".")[1] if "." in one.module else "__init__"
    if place not in HEIGHT:
        yield f"{module.at(one.line)}: on which floor is {place!r}? Say so in FLOORS"
    elif HEIGHT[place] > HEIGHT[module.place]:
        yield (
            f"{module.at(one.line)}: {one.module} is on a floor above; take what is needed as an argument, "
            "or move it down (this holds for imports of types as well)"
        )
    elif place != module.place and not _may_be_neighbours(module.place, place):
        yield f"{module.at(one.line)}: {one.module} is a neighbour; let the floor above bring the two together"


def the_package_stands_alone(module: Module) -> Iterator[str]:
    for one in module.imports:
        if one.module.split(".")[0] in ("benchmarks", "examples", "tests"):
            yield f"{module.at(one.line)}: {one.module} is not installed with the package"


def _may_be_neighbours(user: str, used: str) -> bool:
    """Words, decisions and conductors know their own kind. Devices and doors do not; all doors know the face."""
    if HEIGHT[used] < HEIGHT[user] or user in LOWER_FLOORS | FLOORS["conductors"]:
        return True
    return user in FLOORS["doors"] and (used == "__init__" or (user, used) == ("__main__", "cli"))


def the_face_is_lazy(module: Module) -> Iterator[str]:
    if module.path in ("__init__.py", "errors/__init__.py"):
        for one in module.imports:
            if not one.typing and one.module not in ("__future__", "typing", "aelastic.lazy"):
                yield f"{module.at(one.line)}: {one.module} costs every rank its import; name it in lazily(...)"


def no_import_cycles(modules: Iterable[Module]) -> Iterator[str]:
    """Of modules that import each other while they are imported."""
    known = {module.name: module for module in modules}
    below = {
        name: {one.module for one in module.imports if not one.typing and not one.lazy and one.module in known}
        for name, module in known.items()
    }
    while leaves := [name for name, imported in below.items() if not imported & below.keys()]:
        for name in leaves:
            del below[name]
    if below:
        yield f"these import each other in a circle, or use such: {', '.join(sorted(below))}; split one of them"


# What words and decisions may do: they are imported inside a rank, and tested by tables

_ASYNC = frozenset({"asyncio", "anyio", "trio", "uvloop", "aiofiles", "concurrent"})
# fmt: off
_OUTER_WORLD = frozenset({
    "ctypes", "fcntl", "glob", "io", "mmap", "multiprocessing", "pathlib", "random", "resource", "secrets", "select",
    "selectors", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "threading", "urllib",
})
_PURE_OS = frozenset({
    "os.devnull", "os.fsdecode", "os.fsencode", "os.fspath", "os.path", "os.path.basename", "os.path.dirname",
    "os.path.join", "os.pathsep", "os.sep", "os.uname", "os.PathLike",
})
# fmt: on
_IO_FUNCTIONS = frozenset({"open", "print", "input", "breakpoint"})


def words_and_decisions_are_synchronous(module: Module) -> Iterator[str]:
    if module.place in LOWER_FLOORS:
        for one in module.imports:
            if one.module.split(".")[0] in _ASYNC:
                yield f"{module.at(one.line)}: {one.module}; return what is to be done, and let a conductor do it"


def words_and_decisions_use_only_the_standard_library(module: Module) -> Iterator[str]:
    if module.place in LOWER_FLOORS:
        for one in module.imports:
            if one.module.split(".")[0] not in sys.stdlib_module_names | {"aelastic"}:
                yield f"{module.at(one.line)}: {one.module} is not in the standard library; a rank may not have it"


_IN_A_RANK = ("errors/handler.py", "rank.py")  # speak for their rank: its error file, its notices


def words_and_decisions_do_no_io(module: Module) -> Iterator[str]:
    if module.place not in LOWER_FLOORS or module.path in _IN_A_RANK:
        return
    advice = "words and decisions do no I/O: take the content as an argument, read it in a device"
    for one in module.imports:
        if one.module.split(".")[0] in _OUTER_WORLD:
            yield f"{module.at(one.line)}: {one.module}; {advice}"
    for line, name in module.uses:
        if name.startswith("os.") and name not in _PURE_OS:
            yield f"{module.at(line)}: {name}; {advice}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IO_FUNCTIONS:
            yield f"{module.at(node.lineno)}: {node.func.id}(); {advice}"


# Monopolies: (the names, the files or folders that may use them, what the others do)

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")


@dataclass(frozen=True)
class Monopoly:
    names: frozenset[str]
    owners: tuple[str, ...]
    advice: str


MONOPOLIES = {
    "files": Monopoly(frozenset({"aiofiles"}), ("logs/files.py",), "go through logs/files.py"),
    "signals": Monopoly(
        frozenset({"os.kill", "os.killpg", "signal.pidfd_send_signal", "signal.pthread_kill"}),
        ("process/family.py",),
        "signal through process.family.Family, which knows whose processes they are",
    ),
    "environment": Monopoly(
        frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}),
        ("conduct/", "worker/", "cli/", *_IN_A_RANK),
        "take the value as an argument; the conductor reads the environment",
    ),
    "clocks": Monopoly(
        frozenset(
            {f"time.{clock}{unit}" for clock in _CLOCKS for unit in ("", "_ns")}
            | {f"{one}.{method}" for one in ("datetime", "datetime.datetime") for method in ("now", "utcnow", "today")}
            | {"<loop>.time"}
        ),
        ("conduct/", "elastic/", "cli/", "web/", "errors/handler.py"),
        "take the time, or a clock, as an argument; the conductor has the clock",
    ),
}


def _monopoly(name: str) -> Rule:
    one = MONOPOLIES[name]

    def rule(module: Module) -> Iterator[str]:
        if not module.path.startswith(one.owners):
            for line, used in [*module.uses, *_loop_times(module.tree)]:
                if any(used == name or used.startswith(f"{name}.") for name in one.names):
                    yield f"{module.at(line)}: {used} belongs to {', '.join(one.owners)}; {one.advice}"

    rule.__name__ = f"monopoly_{name}"
    return rule


def _loop_times(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """``anything.time()`` that is not the module ``time``: the clock of a loop."""
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) and not node.args else None
        if isinstance(called, ast.Attribute) and called.attr == "time" and _dotted(called) != "time.time":
            yield called.lineno, "<loop>.time"


def devices_signal_through_the_family(module: Module) -> Iterator[str]:
    if module.place in FLOORS["devices"] and module.path != "process/family.py":
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in ("send_signal", "terminate", "kill"):
                yield f"{module.at(node.lineno)}: .{node.attr} reaches one process; {MONOPOLIES['signals'].advice}"


# Sizes and docstrings


def _docstrings(tree: ast.AST) -> Iterator[ast.Expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


_NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def _code_lines(module: Module) -> set[int]:
    """The lines that are neither blank nor comment nor docstring."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for docstring in _docstrings(module.tree):
        lines.difference_update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return lines


def functions_are_short(module: Module) -> Iterator[str]:
    code = _code_lines(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = len(code & set(range(node.lineno, (node.end_lineno or 0) + 1)))
            if length > LONGEST_FUNCTION:
                yield f"{module.at(node.lineno)}: {node.name} has {length} lines; find the {LONGEST_FUNCTION} it needs"


def files_are_short(module: Module) -> Iterator[str]:
    length = len(_code_lines(module))
    if length > LONGEST_FILE:
        yield f"{module.path}: {length} code lines are two subjects; split it (at most {LONGEST_FILE})"


def public_names_have_docstrings(module: Module) -> Iterator[str]:
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.path}: say in the first line what the module is for"
    for node in _public_definitions(module.tree.body):
        if not ast.get_docstring(node):
            yield f"{module.at(node.lineno)}: {node.name} is public; say what it does (or begin its name with _)"


_Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public_definitions(body: Iterable[ast.stmt]) -> Iterator[_Definition]:
    for node in body:
        if isinstance(node, _Definition) and not node.name.startswith("_") and not _is_overload(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public_definitions(node.body)


def _is_overload(node: _Definition) -> bool:
    return "overload" in map(ast.unparse, node.decorator_list)


# Importing is harmless

# fmt: off
_HARMLESS_CALLS = frozenset({
    "ParamSpec", "TypeVar", "TypeVarTuple", "bytes", "contextvars.ContextVar", "dict", "float", "frozenset", "lazily",
    "logging.getLogger", "pytest.StashKey", "range", "re.compile", "set", "tuple", "types.MappingProxyType",
    "weakref.WeakKeyDictionary", "weakref.WeakSet",
})
# fmt: on
_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def importing_has_no_effects(module: Module) -> Iterator[str]:
    docstrings = list(_docstrings(module.tree))
    for node in _run_at_import(module.tree.body):
        if isinstance(node, _DEFINITIONS) or node in docstrings:
            continue
        if module.path == "__main__.py" and isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            yield f"{module.at(node.lineno)}: {ast.unparse(node)[:40]!r} runs at import; do it in a function"
            continue
        for call in (one for one in _calls(node) if ast.unparse(one.func) not in _HARMLESS_CALLS):
            yield (
                f"{module.at(call.lineno)}: {ast.unparse(call.func)}() runs at import; do it in a function, "
                "or, if it does nothing but make a value, add it to _HARMLESS_CALLS"
            )


def _run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, without those that only type checkers see."""
    for node in body:
        test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
        if isinstance(node, ast.If) and test == "TYPE_CHECKING":
            yield from node.orelse
        elif _only_says_more(node) or (isinstance(node, ast.If) and test == "not TYPE_CHECKING"):
            yield from node.body
        else:
            yield node


def _only_says_more(node: ast.stmt) -> TypeGuard[ast.Try]:
    """Whether it is a ``try`` that does nothing but raise another error in place of one."""
    if not isinstance(node, ast.Try):
        return False
    handled = [statement for handler in node.handlers for statement in handler.body]
    return all(isinstance(one, ast.Raise) for one in handled) and not node.orelse and not node.finalbody


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls that are made when ``node`` is; a lambda's are made later."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)


RULES: list[Rule] = [
    imports_go_down,
    the_package_stands_alone,
    the_face_is_lazy,
    words_and_decisions_are_synchronous,
    words_and_decisions_use_only_the_standard_library,
    words_and_decisions_do_no_io,
    *map(_monopoly, MONOPOLIES),
    devices_signal_through_the_family,
    functions_are_short,
    files_are_short,
    public_names_have_docstrings,
    importing_has_no_effects,
]
BY_NAME = {rule.__name__: rule for rule in RULES}


@pytest.fixture(scope="session")
def modules() -> list[Module]:
    """The package."""
    return [Module(str(path.relative_to(SOURCE)), path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]


def test_the_package_is_there(modules: list[Module]) -> None:
    assert {"std.py", "decide/gang.py", "conduct/run.py", "__init__.py"} <= {module.path for module in modules}


@pytest.mark.parametrize("rule", RULES, ids=BY_NAME)
def test_the_house_keeps_its_rules(rule: Rule, modules: list[Module]) -> None:
    complaints = [complaint for module in modules for complaint in rule(module)]
    assert not complaints, "\n".join(["", *complaints])


def test_no_modules_import_each_other_in_a_circle(modules: list[Module]) -> None:
    assert list(no_import_cycles(modules)) == []


# Each rule can fail

BROKEN = [
    ("imports_go_down", "decide/x.py", "import aelastic.process.family"),
    ("imports_go_down", "decide/x.py", "def f():\n from aelastic.conduct.run import Run"),
    ("imports_go_down", "std.py", "if TYPE_CHECKING:\n from aelastic.decide.gang import Gang"),
    ("imports_go_down", "logs/x.py", "from aelastic.process.family import Family"),
    ("imports_go_down", "process/x.py", "from aelastic.logs.pipe import Pipe"),
    ("imports_go_down", "conduct/x.py", "import aelastic"),
    ("imports_go_down", "conduct/x.py", "from aelastic.elastic.supervisor import Supervisor"),
    ("imports_go_down", "cli/x.py", "import aelastic.web"),
    ("imports_go_down", "__init__.py", "from aelastic.cli import main"),
    ("imports_go_down", "decide/x.py", "from .gang import Gang"),
    ("imports_go_down", "decide/x.py", "import aelastic.attic.old"),
    ("imports_go_down", "attic/old.py", ""),
    ("the_package_stands_alone", "conduct/x.py", "def f():\n from benchmarks.contenders import aelastic_"),
    ("the_package_stands_alone", "logs/x.py", "import tests.helpers.logs"),
    ("the_face_is_lazy", "__init__.py", "from aelastic.std import Std"),
    ("the_face_is_lazy", "errors/__init__.py", "import json"),
    ("the_face_is_lazy", "__init__.py", "if TYPE_CHECKING:\n pass\nelse:\n from aelastic.std import Std"),
    ("words_and_decisions_are_synchronous", "decide/x.py", "import asyncio"),
    ("words_and_decisions_are_synchronous", "errors/handler.py", "def f():\n from anyio.abc import Process"),
    ("words_and_decisions_use_only_the_standard_library", "std.py", "import numpy as np"),
    ("words_and_decisions_do_no_io", "decide/x.py", "open('x')"),
    ("words_and_decisions_do_no_io", "decide/x.py", "import os\nos.open('x', 0)"),
    ("words_and_decisions_do_no_io", "decide/x.py", "import os as o\no.path.exists('x')"),
    ("words_and_decisions_do_no_io", "results.py", "from os import listdir"),
    ("words_and_decisions_do_no_io", "results.py", "import socket"),
    ("words_and_decisions_do_no_io", "results.py", "from subprocess import run"),
    ("monopoly_files", "logs/pump.py", "import aiofiles"),
    ("monopoly_files", "conduct/x.py", "from aiofiles import open"),
    ("monopoly_files", "logs/x.py", "if TYPE_CHECKING:\n from aiofiles.threadpool.binary import AsyncFileIO"),
    ("monopoly_signals", "process/launch.py", "import os\nos.killpg(1, 9)"),
    ("monopoly_signals", "conduct/run.py", "from os import kill"),
    ("monopoly_signals", "cli/x.py", "import signal as s\ns.pidfd_send_signal(3, 9)"),
    ("monopoly_environment", "logs/specs.py", "import os\nos.environ['X']"),
    ("monopoly_environment", "std.py", "import os\nos.environ.get('X')"),
    ("monopoly_environment", "process/x.py", "from os import getenv"),
    ("monopoly_clocks", "decide/x.py", "import time\ntime.monotonic()"),
    ("monopoly_clocks", "logs/x.py", "import time\nclock = time.time"),
    ("monopoly_clocks", "logs/x.py", "from time import perf_counter_ns"),
    ("monopoly_clocks", "process/x.py", "asyncio.get_running_loop().time()"),
    ("monopoly_clocks", "process/x.py", "self.loop.time()"),
    ("monopoly_clocks", "errors/failure.py", "from datetime import datetime\ndatetime.now()"),
    ("devices_signal_through_the_family", "process/launch.py", "popen.kill()"),
    ("devices_signal_through_the_family", "logs/x.py", "transport.send_signal(9)"),
    ("functions_are_short", "std.py", "def f():\n" + " a\n" * 50),
    ("files_are_short", "std.py", "a\n" * 301),
    ("public_names_have_docstrings", "std.py", "x = 1"),
    ("public_names_have_docstrings", "std.py", "'''Doc.'''\ndef f(): pass"),
    ("public_names_have_docstrings", "std.py", "'''Doc.'''\nclass C:\n  '''Doc.'''\n  async def f(self): pass"),
    ("importing_has_no_effects", "std.py", "import logging\nlogging.basicConfig()"),
    ("importing_has_no_effects", "std.py", "x = socket.socket()"),
    ("importing_has_no_effects", "std.py", "x: dict = {1: open('x')}"),
    ("importing_has_no_effects", "std.py", "for x in y: pass"),
    ("importing_has_no_effects", "std.py", "if __name__ == '__main__': main()"),
    ("importing_has_no_effects", "std.py", "if not TYPE_CHECKING:\n x = open('x')"),
    ("importing_has_no_effects", "std.py", "try:\n import x\nexcept ImportError:\n x = None"),
    ("importing_has_no_effects", "std.py", "try:\n open('x')\nexcept OSError as error:\n raise E from error"),
    ("importing_has_no_effects", "std.py", "if TYPE_CHECKING:\n pass\nelse:\n print()"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_can_fail(rule: str, path: str, text: str) -> None:
    complaints = list(BY_NAME[rule](Module(path, text)))
    assert complaints
    assert all(complaint.startswith(path) for complaint in complaints)


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(BY_NAME)


KEPT = [
    ("imports_go_down", "conduct/x.py", "import aelastic.logs.pipe\nfrom aelastic.conduct.run import Run"),
    ("imports_go_down", "cli/x.py", "import aelastic\nfrom aelastic.cli.job import Job"),
    ("imports_go_down", "__main__.py", "from aelastic.cli import main"),
    ("imports_go_down", "elastic/x.py", "from aelastic.conduct.run import Run"),
    ("imports_go_down", "results.py", "from aelastic.errors.failure import ProcessFailure"),
    ("the_face_is_lazy", "__init__.py", "if TYPE_CHECKING:\n from aelastic.std import Std"),
    ("words_and_decisions_do_no_io", "decide/x.py", "import os\nos.fsencode(os.devnull)"),
    ("words_and_decisions_do_no_io", "errors/handler.py", "open('x')"),
    ("words_and_decisions_do_no_io", "rank.py", "import socket"),
    ("monopoly_signals", "process/family.py", "import os\nos.killpg(1, 9)"),
    ("monopoly_clocks", "process/blocking.py", "import time\ntime.sleep(1)"),
    ("monopoly_clocks", "decide/x.py", "event.time\ntime = 5"),
    ("functions_are_short", "std.py", "def f():\n '''Doc.\n" + "\n" * 99 + " '''\n # comment\n" + " a\n" * 49),
    ("files_are_short", "std.py", "a\n" * 300 + "# comment\n\n" * 99),
    ("public_names_have_docstrings", "decide/__init__.py", ""),
    ("public_names_have_docstrings", "std.py", "'''Doc.'''\n@overload\ndef f(): ..."),
    ("public_names_have_docstrings", "std.py", "'''Doc.'''\nclass _C:\n  def f(self): pass\ndef _f(): pass"),
    ("importing_has_no_effects", "std.py", "'''Doc.'''\nlogger = logging.getLogger('x')\nf = lambda: open('x')"),
    ("importing_has_no_effects", "std.py", "if not TYPE_CHECKING:\n __getattr__ = lazily('x', {})"),
    ("importing_has_no_effects", "std.py", "try:\n import x\nexcept ImportError as error:\n raise E('why') from error"),
    ("importing_has_no_effects", "__main__.py", "if __name__ == '__main__': main()"),
]


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_a_rule_can_be_kept(rule: str, path: str, text: str) -> None:
    assert list(BY_NAME[rule](Module(path, text))) == []


def test_benchmarks_measure_what_users_can_use() -> None:
    benchmarks = SOURCE.parent.parent / "benchmarks"
    modules = [Module(str(path.relative_to(benchmarks)), path.read_text()) for path in benchmarks.rglob("*.py")]
    imported = {(module.path, one.module) for module in modules for one in module.imports if not one.typing}
    assert ("contenders/aelastic_.py", "aelastic") in imported
    assert [(path, name) for path, name in imported if name.startswith("aelastic.")] == []


def test_a_circle_is_found() -> None:
    circle = [Module("decide/a.py", "import aelastic.decide.b"), Module("decide/b.py", "import aelastic.decide.a")]
    assert list(no_import_cycles(circle))
    later = [circle[0], Module("decide/b.py", "def f():\n import aelastic.decide.a")]
    assert list(no_import_cycles(later)) == []
