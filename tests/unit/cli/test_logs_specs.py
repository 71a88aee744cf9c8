"""The ``LogsSpecs`` that a package offers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from aelastic.cli.logs_specs import make_logs_specs
from aelastic.errors import InvalidArgumentError
from aelastic.logs.specs import DefaultLogsSpecs
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aelastic.cli.settings import Settings

    Parsed = Callable[..., Settings]

OURS = """
from aelastic import DefaultLogsSpecs
class Specs(DefaultLogsSpecs):
    pass
"""
TORCHS = """
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
class Specs(DefaultLogsSpecs):
    pass
"""


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Install a package with ``source`` that offers its ``Specs`` as ``name`` in ``group``."""

    def install(source: str, group: str, name: str) -> None:
        module = f"{name}_of_a_test"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:Specs\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_ours_without_a_name(parsed: Parsed, tmp_path: Path) -> None:
    made = make_logs_specs(parsed(f"--log-dir={tmp_path}", "-r1", "--local-ranks-filter=0", "x.py"), Std.ERR)
    assert made == DefaultLogsSpecs(str(tmp_path), Std.OUT, Std.ERR, {0})


@pytest.mark.parametrize("group", ["aelastic.logs_specs", "torchrun.logs_specs"])
def test_one_by_its_name(parsed: Parsed, offer: Callable[[str, str, str], None], tmp_path: Path, group: str) -> None:
    offer(OURS, group, "special")
    made = make_logs_specs(parsed(f"--log-dir={tmp_path}", "--logs-specs=special", "x.py"), {0: Std.OUT})
    assert type(made).__name__ == "Specs"
    assert made == DefaultLogsSpecs(str(tmp_path), Std.NONE, {0: Std.OUT})


def test_ours_come_before_torchs(parsed: Parsed, offer: Callable[[str, str, str], None]) -> None:
    offer(OURS, "aelastic.logs_specs", "default")
    assert type(make_logs_specs(parsed("--logs-specs=default", "x.py"), Std.NONE)).__name__ == "Specs"


def test_no_such_name(parsed: Parsed, offer: Callable[[str, str, str], None]) -> None:
    offer(OURS, "torchrun.logs_specs", "special")
    with pytest.raises(InvalidArgumentError, match=r"no package offers 'other'.*special"):
        make_logs_specs(parsed("--logs-specs=other", "x.py"), Std.NONE)


def test_one_written_for_torch(
    parsed: Parsed, offer: Callable[[str, str, str], None], tmp_path: Path, torch_run: Any
) -> None:
    offer(TORCHS, "torchrun.logs_specs", "torchish")
    settings = parsed(f"--log-dir={tmp_path}", "--logs-specs=torchish", "-r3", "x.py")
    dest = make_logs_specs(settings, {0: Std.OUT}).reify({0: {}, 1: {}})
    assert sorted(dest.tee_stdouts) == [0]
    assert all(path.endswith("stderr.log") for path in dest.stderrs.values())
