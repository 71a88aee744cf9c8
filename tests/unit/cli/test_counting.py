"""How many ranks ``auto``, ``cpu`` and ``gpu`` are."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aelastic.cli.counting import count_ranks
from aelastic.errors import InvalidArgumentError
from aelastic.process import topology

if TYPE_CHECKING:
    from pathlib import Path

UUIDS = ("GPU-1d2a0001", "GPU-1d2a0002", "GPU-77770003")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The list that NVIDIA's driver keeps, of three GPUs; NVML is not installed."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    for number, uuid in enumerate(UUIDS):
        gpu = tmp_path / f"0000:{number + 1:02x}:00.0"
        gpu.mkdir()
        about = f"Model: \t\t NVIDIA H100\nIRQ:   \t\t 0\nGPU UUID: \t {uuid}\nBus Location: \t {gpu.name}\n"
        (gpu / "information").write_text(about)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("visible_devices", "count"),
    [
        (None, 3),
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("0", 1),
        ("2,0", 2),
        ("0,1,7", 2),
        ("GPU-7777", 1),
        ("GPU-1d2a", 0),
        ("MIG-1", 1),
    ],
)
def test_the_drivers_list_and_what_is_visible(driver: str, visible_devices: str | None, count: int) -> None:
    assert topology.count_gpus(visible_devices, driver) == count


def test_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert topology.count_gpus(None, str(tmp_path / "none")) == 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the number of GPUs."""

    def set_up(gpus: int) -> None:
        monkeypatch.setattr(topology, "count_gpus", lambda visible_devices: gpus)

    return set_up


def test_a_number_is_itself() -> None:
    assert count_ranks(7) == 7


def test_cpus_are_those_we_may_use(machine: Any) -> None:
    machine(4)
    assert count_ranks("cpu") == len(os.sched_getaffinity(0))


def test_gpus_come_first(machine: Any) -> None:
    machine(4)
    assert count_ranks("gpu") == count_ranks("auto") == 4


def test_cpus_where_there_is_no_gpu(machine: Any) -> None:
    machine(0)
    assert count_ranks("auto") == len(os.sched_getaffinity(0))
    with pytest.raises(InvalidArgumentError, match="there is no NVIDIA GPU here"):
        count_ranks("gpu")


@pytest.mark.parametrize("wanted", ["auto", "gpu"])
def test_other_gpus_are_not_taken_for_none(machine: Any, monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    machine(0)
    monkeypatch.setattr("aelastic.cli.counting._AMD", os.devnull)  # a device that is there
    with pytest.raises(InvalidArgumentError, match="write their number"):
        count_ranks(wanted)


def test_torch_counts_the_same_cpus() -> None:
    torch_utils: Any = pytest.importorskip("torch._utils")
    assert count_ranks("cpu") == torch_utils.cpu_count()
