"""Made-up machines: as a tree of files like ``/sys``, as the topology that it means, and as what NVML says."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aelastic.decide.affinity import Cpu, Topology, format_cpus

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """A regular machine; by default two sockets and eight GPUs, as servers for training are.

    Cpus are numbered as Linux does on x86: first one thread of every core, node after node, then the other threads.
    """

    sockets: int = 2
    nodes_per_socket: int = 2
    cores_per_node: int = 16
    threads: int = 2
    cores_per_cache: int = 4
    gpu_nodes: tuple[int, ...] = (0, 0, 1, 1, 2, 2, 3, 3)

    @property
    def nodes(self) -> range:
        return range(self.sockets * self.nodes_per_socket)

    @property
    def cores(self) -> int:
        return len(self.nodes) * self.cores_per_node

    @property
    def cpus(self) -> tuple[Cpu, ...]:
        return tuple(self._cpu(index) for index in range(self.cores * self.threads))

    @property
    def topology(self) -> Topology:
        return Topology(self.cpus, self.gpu_nodes)

    def on_node(self, node: int) -> frozenset[int]:
        """The logical cpus of ``node``."""
        return frozenset(cpu.index for cpu in self.cpus if cpu.node == node)

    def write(self, root: Path) -> str:
        """Write the tree; its root as text."""
        for node in self.nodes:
            _write(root, f"devices/system/node/node{node}/cpulist", format_cpus(self.on_node(node)))
        _write(root, "devices/system/node/possible", format_cpus(self.nodes))
        for cpu in self.cpus:
            self._write_cpu(root, cpu)
        for gpu, node in enumerate(self.gpu_nodes):
            write_pci_device(root, sysfs_address(gpu), numa_node=str(node))
        write_pci_device(root, "0000:00:01.0", vendor="0x1a03", numa_node="0")  # the screen of the board
        return str(root)

    def _cpu(self, index: int) -> Cpu:
        core = index % self.cores
        node, within = divmod(core, self.cores_per_node)
        cache = core - within % self.cores_per_cache
        return Cpu(index, node=node, socket=node // self.nodes_per_socket, core=core, cache=cache)

    def _write_cpu(self, root: Path, cpu: Cpu) -> None:
        directory = f"devices/system/cpu/cpu{cpu.index}"
        siblings = format_cpus(one.index for one in self.cpus if one.core == cpu.core)
        neighbours = format_cpus(one.index for one in self.cpus if one.cache == cpu.cache)
        _write(root, f"{directory}/topology/physical_package_id", str(cpu.socket))
        _write(root, f"{directory}/topology/core_id", str(cpu.index % self.cores % self.cores_per_node))
        _write(root, f"{directory}/topology/thread_siblings_list", siblings)
        caches = [(1, "Data", siblings), (1, "Instruction", siblings), (2, "Unified", siblings)]
        for number, (level, kind, shared) in enumerate([*caches, (3, "Unified", neighbours)]):
            _write(root, f"{directory}/cache/index{number}/level", str(level))
            _write(root, f"{directory}/cache/index{number}/type", kind)
            _write(root, f"{directory}/cache/index{number}/shared_cpu_list", shared)


def write_pci_device(
    root: Path, address: str, *, vendor: str = "0x10de", pci_class: str = "0x030200", numa_node: str | None = None
) -> None:
    """One PCI device; by default an NVIDIA GPU of which nobody says where it is attached."""
    _write(root, f"bus/pci/devices/{address}/vendor", vendor)
    _write(root, f"bus/pci/devices/{address}/class", pci_class)
    if numa_node is not None:
        _write(root, f"bus/pci/devices/{address}/numa_node", numa_node)


def pci_place(gpu: int) -> SimpleNamespace:
    """Where GPU ``gpu`` of a machine is, as NVML says it; some are in a PCI domain that needs five digits."""
    return SimpleNamespace(domain=0x10000 * (gpu % 2), bus=0x1A + gpu, device=gpu % 3)


def sysfs_address(gpu: int) -> str:
    """The same as a directory of sysfs."""
    place = pci_place(gpu)
    return f"{place.domain:04x}:{place.bus:02x}:{place.device:02x}.0"


class FakeNvml:
    """What is used of the module ``pynvml``, on a machine with as many GPUs as there are ``uuids``.

    With ``fails`` the function of that name raises.
    """

    class NVMLError(Exception):
        """As in ``pynvml``."""

    def __init__(self, uuids: tuple[str, ...], fails: str = "") -> None:
        self.uuids = uuids
        self.fails = fails
        self.opened = 0

    def nvmlInit(self) -> None:
        self._call("nvmlInit")
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._call("nvmlDeviceGetCount")
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._call("nvmlDeviceGetHandleByIndex")
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        self._call("nvmlDeviceGetUUID")
        return self.uuids[handle]

    def nvmlDeviceGetPciInfo(self, handle: int) -> Any:
        self._call("nvmlDeviceGetPciInfo")
        return pci_place(handle)

    def _call(self, function: str) -> None:
        if function == self.fails:
            raise self.NVMLError("GPU is lost")


def _write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
