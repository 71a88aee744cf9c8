"""Reading what the machine looks like: cpus from sysfs, GPUs through NVML. Whatever is missing is not known."""

from __future__ import annotations

import importlib
import os
import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from aelastic.decide.affinity import Cpu, Topology, parse_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LARGEST_FILE = 1 << 16
_NVIDIA = "0x10de"
_DISPLAY = "0x03"  # PCI base class of GPUs, with and without a screen
_NAMES_A_GPU = re.compile(r"\s*(\+?[0-9]|GPU-|MIG-)")  # "", "-1" and "NoDevFiles" hide all, with no need to ask NVML
_UUID = re.compile("(GPU-.*)")
_INDEX = re.compile(r"\s*\+?0*([0-9]{1,9})")  # CUDA does not mind what follows the digits
_DRIVERS_UUID = re.compile(r"^GPU UUID:\s*(\S+)", re.MULTILINE)
_HOW_TO_HAVE_NO_GPUS = "where ranks use no GPU, set CUDA_VISIBLE_DEVICES to the empty string"


def read_topology(visible_devices: str | None, root: str = "/sys") -> Topology:
    """What is known about this machine, from the sysfs mounted at ``root``.

    ``visible_devices`` is the value of ``CUDA_VISIBLE_DEVICES``; None when it is not set. NVML, through the module
    ``pynvml`` (package nvidia-ml-py), is asked only when sysfs shows an NVIDIA GPU. It counts GPUs by their PCI
    address; where they are of several models, CUDA does so only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. GPUs of other
    makers are not seen.

    Blocks the thread: some ten small files per cpu are read (0.1 ms for each cpu), and NVML may take a second.
    Raises nothing.
    """
    gpus = _read_gpus(root, visible_devices)
    if isinstance(gpus, str):
        return Topology(_read_cpus(root), gpus_unknown=gpus)
    return Topology(_read_cpus(root), gpus)


def count_gpus(visible_devices: str | None, driver: str = "/proc/driver/nvidia/gpus") -> int:
    """How many GPUs CUDA shows for this value of ``CUDA_VISIBLE_DEVICES``; None when it is not set.

    Asks NVML, or, where the package nvidia-ml-py is not installed, the list that NVIDIA's ``driver`` keeps. GPUs of
    other makers are not seen; of MIG instances CUDA shows one. Blocks the thread; raises nothing.
    """
    if visible_devices is not None and not _NAMES_A_GPU.match(visible_devices):
        return 0
    if (visible_devices or "").startswith("MIG-"):
        return 1
    addresses = _nvml_addresses(visible_devices)
    if isinstance(addresses, list):
        return len(addresses)
    about = [_read(f"{driver}/{address}/information") for address in sorted(_entries(driver))]
    uuids = [match[1] for text in about if (match := _DRIVERS_UUID.search(text))]
    return len(visible_gpus(visible_devices, uuids))


def allowed_cpus() -> frozenset[int]:
    """The cpus that this thread, and so the ranks it starts, may run on; every cpu where the system does not say."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux, a sandbox
        return frozenset(range(os.cpu_count() or 1))


def _read_cpus(root: str) -> tuple[Cpu, ...]:
    cores: dict[tuple[int, int], int] = {}
    return tuple(_read_cpu(root, cpu, node, cores) for cpu, node in sorted(_read_nodes(root).items()))


def _read_nodes(root: str) -> dict[int, int]:
    """Cpu to NUMA node. A cpu that is offline is in none."""
    nodes = f"{root}/devices/system/node"
    return {
        cpu: node
        for node in sorted(_numbered(nodes, "node"), reverse=True)
        for cpu in parse_cpus(_read(f"{nodes}/node{node}/cpulist"))
    }


def _read_cpu(root: str, cpu: int, node: int, cores: dict[tuple[int, int], int]) -> Cpu:
    """``cores`` remembers the lowest cpu of each numbered core; cpus are read from the lowest on."""
    directory = f"{root}/devices/system/cpu/cpu{cpu}"
    socket = _read_int(f"{directory}/topology/physical_package_id")
    number = _read_int(f"{directory}/topology/core_id")
    core = min(parse_cpus(_read(f"{directory}/topology/thread_siblings_list")), default=None)
    if socket is not None and number is not None:  # numbers may repeat from die to die: siblings are preferred
        numbered = cores.setdefault((socket, number), cpu)
        core = numbered if core is None else core
    return Cpu(cpu, node, socket, core, _read_cache(f"{directory}/cache"))


def _read_cache(caches: str) -> int | None:
    """The lowest cpu that shares the cache of the highest level."""
    levels = {level: path for path, level in _data_caches(caches)}
    shared = parse_cpus(_read(f"{levels[max(levels)]}/shared_cpu_list")) if levels else frozenset()
    return min(shared, default=None)


def _data_caches(caches: str) -> Iterator[tuple[str, int]]:
    for number in _numbered(caches, "index"):
        path = f"{caches}/index{number}"
        level = _read_int(f"{path}/level")
        if level is not None and _read(f"{path}/type") != "Instruction":
            yield path, level


def _read_gpus(root: str, visible_devices: str | None) -> tuple[int | None, ...] | str:
    """The NUMA node of every GPU that ranks see, or why they are not known."""
    if visible_devices is not None and not _NAMES_A_GPU.match(visible_devices):
        return ()
    devices = f"{root}/bus/pci/devices"
    if not any(_is_gpu(f"{devices}/{address}") for address in _entries(devices)):
        return ()
    addresses = _nvml_addresses(visible_devices)
    if isinstance(addresses, str):
        return addresses
    return tuple(_read_gpu_node(f"{devices}/{address}") for address in addresses)


def _is_gpu(device: str) -> bool:
    return _read(f"{device}/vendor") == _NVIDIA and _read(f"{device}/class").startswith(_DISPLAY)


def _read_gpu_node(device: str) -> int | None:
    node = _read_int(f"{device}/numa_node")
    return None if node is None else max(node, 0)  # -1, "none", is what machines with a single node say


def _nvml_addresses(visible_devices: str | None) -> list[str] | str:
    """PCI addresses, as sysfs spells them, of the GPUs that CUDA shows; or why they are not known."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return f"telling GPUs apart needs nvidia-ml-py (pip install 'aelastic[numa]'); {_HOW_TO_HAVE_NO_GPUS}"
    try:
        nvml.nvmlInit()
        try:
            return _addresses(nvml, visible_devices)
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        return f"NVML cannot tell the GPUs ({error}); {_HOW_TO_HAVE_NO_GPUS}"


def _addresses(nvml: Any, visible_devices: str | None) -> list[str] | str:
    if (visible_devices or "").startswith("MIG-"):
        return "CUDA_VISIBLE_DEVICES names MIG instances, which are not supported"
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    uuids = [os.fsdecode(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    places = [nvml.nvmlDeviceGetPciInfo(handles[index]) for index in visible_gpus(visible_devices, uuids)]
    return [f"{place.domain:04x}:{place.bus:02x}:{place.device:02x}.0" for place in places]


def visible_gpus(visible_devices: str | None, uuids: Sequence[str]) -> list[int]:
    """Which of the GPUs with these ``uuids`` CUDA shows, in its order, for a value of ``CUDA_VISIBLE_DEVICES``.

    The rules are CUDA's as torch applies them: all entries are indices, or all are UUIDs or unique beginnings of
    UUIDs; the list ends at the first entry that is neither; one named twice hides them all.
    """
    if visible_devices is None:
        return list(range(len(uuids)))
    pattern, find = (_UUID, _find_uuid) if visible_devices.startswith("GPU-") else (_INDEX, _find_index)
    matches = takewhile(bool, map(pattern.match, visible_devices.split(",")))
    names = [match[1] for match in matches if match]
    shown = list(takewhile(lambda index: index >= 0, (find(name, uuids) for name in names)))
    repeated = len(set(names)) < len(names) or len(set(shown)) < len(shown)
    return [] if repeated else shown


def _find_uuid(beginning: str, uuids: Sequence[str]) -> int:
    """The only GPU whose UUID begins like this, or -1."""
    matches = [index for index, uuid in enumerate(uuids) if uuid.startswith(beginning)]
    return matches[0] if len(matches) == 1 else -1


def _find_index(digits: str, uuids: Sequence[str]) -> int:
    return int(digits) if int(digits) < len(uuids) else -1


def _numbered(directory: str, prefix: str) -> list[int]:
    """The numbers of the entries that are ``prefix`` and a number."""
    pattern = re.compile(f"{prefix}([0-9]{{1,9}})")
    return sorted(int(match[1]) for name in _entries(directory) if (match := pattern.fullmatch(name)))


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read(path: str) -> str:
    """The text in a small file; empty when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST_FILE).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _read_int(path: str) -> int | None:
    text = _read(path)
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else None
