"""Reading a machine: made-up trees, broken trees, and the one this runs on."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.affinity import Bound, Cpu, Topology, bind_ranks, format_cpus
from aelastic.numa import AffinityMode
from aelastic.process import topology as device
from aelastic.process.topology import allowed_cpus, read_topology, visible_gpus
from tests.helpers.sysfs import FakeNvml, Machine, sysfs_address, write_pci_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MACHINE = Machine()
SMALL = Machine(1, 2, 2, 2, cores_per_cache=2, gpu_nodes=(1,))
UUIDS = tuple(f"GPU-{n}f3{n}c0de-0000-0000-0000-00000000000{n}" for n in range(8))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """NVML on the big machine; every call of it must be closed again."""
    fake = FakeNvml(UUIDS)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # makes the import fail


@pytest.fixture(scope="module")
def big_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tree of the big machine; it is only read."""
    return MACHINE.write(tmp_path_factory.mktemp("sys"))


# A whole machine


def test_the_big_machine(big_root: str, nvml: FakeNvml) -> None:
    assert read_topology(None, big_root) == MACHINE.topology
    assert nvml.opened == 0


@pytest.mark.parametrize("machine", [SMALL, Machine(3, 1, 5, 1, 2, ()), Machine(1, 1, 1, 1, 1, (0, 0))])
def test_other_machines(tmp_path: Path, nvml: FakeNvml, machine: Machine) -> None:
    nvml.uuids = UUIDS[: len(machine.gpu_nodes)]
    assert read_topology(None, machine.write(tmp_path)) == machine.topology


def test_from_files_to_cpus(big_root: str, nvml: FakeNvml) -> None:
    """GPUs 6, 0 and 1 of the machine are 0, 1 and 2 of the ranks."""
    topology = read_topology("6,0,1", big_root)
    outcomes = bind_ranks(AffinityMode.EXCLUSIVE, topology, 3, frozenset(range(128)))
    shares = [format_cpus(outcome.cpus) for outcome in outcomes if isinstance(outcome, Bound)]
    assert shares == ["48-63,112-127", "0-7,64-71", "8-15,72-79"]


# This machine


def test_this_machine() -> None:
    topology = read_topology(os.environ.get("CUDA_VISIBLE_DEVICES"))
    allowed = allowed_cpus()
    assert allowed == os.sched_getaffinity(0)
    if not os.path.exists("/sys/devices/system/node/node0/cpulist"):
        pytest.skip("this system has no NUMA nodes")
    assert allowed <= {cpu.index for cpu in topology.cpus}
    for outcome in bind_ranks(AffinityMode.NODE, Topology(topology.cpus), 4, allowed):
        assert isinstance(outcome, Bound)
        assert outcome.cpus <= allowed


@pytest.mark.parametrize("mode", AffinityMode)
def test_this_machine_in_every_mode(mode: AffinityMode) -> None:
    """One rank on it gets cpus, or a reason."""
    (outcome,) = bind_ranks(mode, Topology(read_topology("").cpus), 1, allowed_cpus())
    assert outcome.cpus <= allowed_cpus() if isinstance(outcome, Bound) else outcome.reason


@pytest.mark.parametrize("error", [AttributeError, PermissionError])
def test_a_system_that_does_not_say_what_is_allowed(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def refuse(pid: int) -> set[int]:
        raise error

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    assert allowed_cpus() == frozenset(range(os.cpu_count() or 1))


# Trees that lack something


def test_no_tree_at_all(tmp_path: Path) -> None:
    assert read_topology(None, str(tmp_path / "absent")) == Topology(())


def test_cpus_offline(tmp_path: Path) -> None:
    """The kernel takes them out of their node, and takes their files away."""
    root = SMALL.write(tmp_path)
    write(tmp_path, "devices/system/node/node0/cpulist", "0,4-5")
    for directory in ("topology", "cache"):
        shutil.rmtree(tmp_path / "devices/system/cpu/cpu1" / directory)
    assert read_topology("", root).cpus == tuple(cpu for cpu in SMALL.cpus if cpu.index != 1)


@pytest.mark.parametrize("cpulist", ["\n", "", "garbage", "0-", "\0\xff", None])
def test_a_node_without_cpus(tmp_path: Path, cpulist: str | None) -> None:
    """Memory of its own, or nothing that can be understood."""
    root = SMALL.write(tmp_path)
    path = tmp_path / "devices/system/node/node0/cpulist"
    path.unlink() if cpulist is None else path.write_text(cpulist)
    assert {cpu.node for cpu in read_topology("", root).cpus} == {1}


def test_a_cpu_in_two_nodes_is_in_the_first(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    write(tmp_path, "devices/system/node/node1/cpulist", "0-7")
    assert read_topology("", root).cpus == SMALL.cpus


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("topology/physical_package_id", Cpu(4, 0, None, 0, 0)),
        ("topology/thread_siblings_list", Cpu(4, 0, 0, 0, 0)),  # core_id says the same
        ("topology", Cpu(4, 0, None, None, 0)),
        ("cache/index3", Cpu(4, 0, 0, 0, 0)),
        ("cache/index3/type", Cpu(4, 0, 0, 0, 0)),
        ("cache/index3/shared_cpu_list", Cpu(4, 0, 0, 0, None)),
        ("cache", Cpu(4, 0, 0, 0, None)),
        ("", Cpu(4, 0, None, None, None)),
    ],
)
def test_what_is_missing_is_not_known(tmp_path: Path, path: str, expected: Cpu) -> None:
    root = SMALL.write(tmp_path)
    missing = tmp_path / "devices/system/cpu/cpu4" / path
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    cpus = {cpu.index: cpu for cpu in read_topology("", root).cpus}
    assert cpus.pop(4) == expected
    assert set(cpus.values()) == {cpu for cpu in SMALL.cpus if cpu.index != 4}


def test_cores_by_number_where_siblings_are_not_listed(tmp_path: Path) -> None:
    """Numbers are those of a socket: here both sockets have the cores 0 and 1."""
    machine = Machine(2, 1, 2, 2, 2, ())
    root = machine.write(tmp_path)
    for siblings in tmp_path.glob("devices/system/cpu/*/topology/thread_siblings_list"):
        siblings.unlink()
    assert read_topology(None, root) == machine.topology


def test_the_last_cache_counts_whatever_its_level(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    for last in tmp_path.glob("devices/system/cpu/*/cache/index3"):
        shutil.rmtree(last)
    assert [cpu.cache for cpu in read_topology("", root).cpus] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_instruction_caches_do_not_count(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    write(tmp_path, "devices/system/cpu/cpu0/cache/index1/level", "9")
    write(tmp_path, "devices/system/cpu/cpu0/cache/index1/shared_cpu_list", "7")
    assert read_topology("", root).cpus == SMALL.cpus


def test_files_that_are_directories_and_directories_that_are_files(tmp_path: Path) -> None:
    root = SMALL.write(tmp_path)
    cpu = tmp_path / "devices/system/cpu/cpu0"
    (cpu / "topology/physical_package_id").unlink()
    (cpu / "topology/physical_package_id").mkdir()
    shutil.rmtree(cpu / "cache")
    (cpu / "cache").write_text("L3")
    assert read_topology("", root).cpus[0] == Cpu(0, 0, None, 0, None)


@given(st.sampled_from(["physical_package_id", "thread_siblings_list", "core_id"]), st.binary(max_size=40))
def test_any_content_can_be_read(small_tree: Path, name: str, content: bytes) -> None:
    path = small_tree / "devices/system/cpu/cpu0/topology" / name
    before = path.read_bytes()
    try:
        path.write_bytes(content)
        assert len(read_topology("", str(small_tree)).cpus) == len(SMALL.cpus)
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sys")
    SMALL.write(root)
    return root


# GPUs


@pytest.mark.parametrize(
    ("visible_devices", "expected"),
    [
        (None, (0, 0, 1, 1, 2, 2, 3, 3)),
        ("7,0", (3, 0)),
        (f"{UUIDS[4]},GPU-2", (2, 1)),
        ("0,99,1", (0,)),
        ("99", ()),
        ("3,3", ()),
    ],
)
def test_visible_devices(big_root: str, nvml: FakeNvml, visible_devices: str | None, expected: tuple[int, ...]) -> None:
    assert read_topology(visible_devices, big_root) == Topology(MACHINE.cpus, expected)


@pytest.mark.parametrize("visible_devices", ["", " ", "-1", "NoDevFiles"])
def test_gpus_hidden_from_the_ranks_are_not_asked_for(big_root: str, no_nvml: None, visible_devices: str) -> None:
    assert read_topology(visible_devices, big_root) == Topology(MACHINE.cpus)


def test_a_machine_without_gpus_does_not_ask_nvml(tmp_path: Path, no_nvml: None) -> None:
    write_pci_device(tmp_path, "0000:00:01.0", vendor="0x1a03", pci_class="0x030000")
    write_pci_device(tmp_path, "0000:05:00.0", pci_class="0x068000")  # an NVSwitch
    assert read_topology(None, str(tmp_path)) == Topology(())


def test_gpus_without_pynvml(big_root: str, no_nvml: None) -> None:
    topology = read_topology(None, big_root)
    assert topology.cpus == MACHINE.cpus
    assert topology.gpu_nodes == ()
    assert "nvidia-ml-py" in topology.gpus_unknown


@pytest.mark.parametrize(
    "function",
    [
        "nvmlInit",
        "nvmlDeviceGetCount",
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetPciInfo",
    ],
)
def test_nvml_that_fails(big_root: str, nvml: FakeNvml, function: str) -> None:
    nvml.fails = function
    topology = read_topology(None, big_root)
    assert topology.cpus == MACHINE.cpus
    assert "GPU is lost" in topology.gpus_unknown
    assert nvml.opened == 0


def test_mig_instances_are_not_known(big_root: str, nvml: FakeNvml) -> None:
    assert "MIG" in read_topology("MIG-0d1e2f", big_root).gpus_unknown


@pytest.mark.parametrize(("numa_node", "expected"), [("-1", 0), ("1", 1), ("", None), ("?", None), (None, None)])
def test_the_node_of_a_gpu(tmp_path: Path, nvml: FakeNvml, numa_node: str | None, expected: int | None) -> None:
    nvml.uuids = UUIDS[:1]
    write_pci_device(tmp_path, sysfs_address(0), numa_node=numa_node)
    assert read_topology(None, str(tmp_path)).gpu_nodes == (expected,)


def test_a_gpu_that_sysfs_does_not_have(tmp_path: Path, nvml: FakeNvml) -> None:
    """NVML sees two, the tree of the container one."""
    nvml.uuids = UUIDS[:2]
    write_pci_device(tmp_path, sysfs_address(0), numa_node="0")
    assert read_topology(None, str(tmp_path)).gpu_nodes == (0, None)


def test_real_pynvml_has_what_is_used() -> None:
    pynvml: Any = pytest.importorskip("pynvml")
    used = [name for name in vars(FakeNvml) if not name.startswith("_")]
    assert not [name for name in used if not hasattr(pynvml, name)]
    assert isinstance(device._nvml_addresses(None), list | str)


# CUDA_VISIBLE_DEVICES

COUNT = 4
SOME = ["GPU-aa01", "GPU-aa02", "GPU-b", "GPU-cd"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("0,1", [0, 1]),
        (" 2 , 0", [2, 0]),
        ("0,2,-1,1", [0, 2]),
        ("1gpu2,2ampere", [1, 2]),
        ("+1,0", [1, 0]),
        ("0,", [0]),
        (",0", []),
        ("1,1", []),
        ("0,GPU-b", [0]),
        ("GPU-b,0", [2]),
        ("GPU-aa01,GPU-c", [0, 3]),
        ("GPU-b,GPU-aa", [2]),  # which of the two?
        ("GPU-c,GPU-c", []),
        ("9,1,9", []),
        ("1,01", []),
        ("0,9,00", []),
        ("GPU-c,GPU-cd", []),
        ("GPU-c,GPU-x,GPU-c", []),
        ("GPU-x,GPU-b", []),
        ("99999999999999999999", []),
        ("²", []),
    ],
)
def test_which_gpus_are_visible(value: str | None, expected: list[int]) -> None:
    assert visible_gpus(value, SOME) == expected


@pytest.fixture(scope="module")
def torch_visible_gpus() -> Callable[[str], list[int]]:
    """Torch's reading of the variable, on a machine with the GPUs of ``SOME``."""
    cuda: Any = pytest.importorskip("torch.cuda")

    def visible(value: str) -> list[int]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
            parsed = cuda._parse_visible_devices()
        if parsed and isinstance(parsed[0], str):
            parsed = cuda._transform_uuid_to_ordinals(parsed, SOME)
        invalid = [place for place, index in enumerate(parsed) if index >= COUNT]
        found: list[int] = parsed[: invalid[0]] if invalid else parsed
        return found

    return visible


@given(
    st.lists(
        st.sampled_from(["0", "1", " 2", "3x", "+3"]) | st.sampled_from([*SOME, "GPU-c", "GPU-aa", "GPU-x"]), max_size=4
    ),
    st.sampled_from(["", ",", ",-1", ",9", ",GPU-", ",x,1"]),
)
def test_torch_sees_the_same(torch_visible_gpus: Callable[[str], list[int]], entries: list[str], end: str) -> None:
    value = ",".join(entries) + end
    assert visible_gpus(value, SOME) == torch_visible_gpus(value)


def write(root: Path, path: str, text: str) -> None:
    (root / path).write_text(text + "\n")
