"""Which cpus each rank is to run on. Pure: the machine is a value, and so is the reason why a rank cannot be bound."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aelastic.numa import AffinityMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

_MOST_CPUS = 1 << 16  # the largest Linux is built for 8192
_SPAN = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Cpu:
    """A logical cpu that is online.

    ``core`` (physical core) and ``cache`` (last-level cache) are named by the lowest logical cpu that shares them.
    None: not known.
    """

    index: int
    node: int
    socket: int | None
    core: int | None
    cache: int | None


@dataclass(frozen=True, slots=True)
class Topology:
    """A machine: its cpus, and for each GPU that ranks see, by index, its NUMA node (None: not known).

    ``gpus_unknown``: why nothing can be said about the GPUs although there are some; ``""`` otherwise.
    """

    cpus: tuple[Cpu, ...]
    gpu_nodes: tuple[int | None, ...] = ()
    gpus_unknown: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A rank is to run on ``cpus``, all of them allowed; ``requested`` is what it got if every cpu were allowed."""

    rank: int
    requested: frozenset[int]
    cpus: frozenset[int]


@dataclass(frozen=True, slots=True)
class Unbound:
    """A rank cannot be bound, and why. ``requested`` is empty when not even that is known."""

    rank: int
    requested: frozenset[int]
    reason: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a rank belongs. It is number ``turn`` of the ``peers`` that divide ``node``; ``nodes``: of the socket."""

    node: int
    nodes: frozenset[int]
    turn: int
    peers: int


def bind_ranks(
    mode: AffinityMode, topology: Topology, nprocs: int, allowed: AbstractSet[int]
) -> tuple[Bound | Unbound, ...]:
    """The cpus of the local ranks 0 to ``nprocs`` - 1, within the ``allowed`` ones (those of the supervisor).

    As in torch 2.13 a rank uses the GPU whose index is the local rank, and a node is divided among all its GPUs,
    those without a rank as well. Where the physical cores do not divide evenly, the first ones get one more; of the
    last-level caches those with the most allowed cpus come first.

    On a machine without GPUs, where torch raises, the ranks go round robin over the nodes that have allowed cpus.

    Raises ``ValueError`` when ``mode`` is none.
    """
    share = _SHARES[AffinityMode(mode)]
    places = _places(topology, nprocs, allowed)
    usable = [cpu for cpu in topology.cpus if cpu.index in allowed]
    return tuple(_bind(rank, share, places[rank], topology.cpus, usable) for rank in range(nprocs))


def shortfall(outcome: Bound | Unbound, allowed: AbstractSet[int]) -> str:
    """In what a rank gets less than was requested, as a clause for a warning; ``""`` when it gets that.

    A rank that is not bound runs on the ``allowed`` cpus.
    """
    if isinstance(outcome, Bound) and outcome.cpus == outcome.requested:
        return ""
    requested = format_cpus(outcome.requested) or "unknown"
    if isinstance(outcome, Bound):
        effective, reason = outcome.cpus, "the others are not allowed here"
    else:
        effective, reason = frozenset(allowed), outcome.reason
    return f"rank {outcome.rank}: requested cpus {requested}, effective cpus {format_cpus(effective)} ({reason})"


def parse_cpus(text: str) -> frozenset[int]:
    """The numbers in a list as the kernel writes it, ``"0-3,8-11\\n"``. Empty for anything else."""
    spans = [_SPAN.fullmatch(item) for item in text.strip().split(",")]
    ranges = [range(int(span[1]), int(span[2] or span[1]) + 1) for span in spans if span]
    if len(ranges) < len(spans) or sum(map(len, ranges)) > _MOST_CPUS:
        return frozenset()
    return frozenset().union(*ranges)


def format_cpus(cpus: Iterable[int]) -> str:
    """``cpus`` as the kernel writes them, ``"0-3,8"``; the inverse of ``parse_cpus``."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][-1] + 1:
            spans[-1][1:] = [cpu]
        else:
            spans.append([cpu])
    return ",".join("-".join(map(str, span)) for span in spans)


def _places(topology: Topology, nprocs: int, allowed: AbstractSet[int]) -> list[_Place | str]:
    """The place of each rank, or why it has none."""
    if topology.gpus_unknown or not topology.cpus:
        return [topology.gpus_unknown or "the system names no NUMA node with cpus"] * nprocs
    seats = topology.gpu_nodes or _round_robin(topology, nprocs, allowed)
    sockets = _sockets(topology)
    peers, taken = Counter(seats), Counter[int | None]()
    places: list[_Place | str] = []
    for index, node in enumerate(seats):
        if node is None:
            places.append(f"the NUMA node of GPU {index} is not known")
        else:
            places.append(_Place(node, _nodes_beside(node, sockets), taken[node], peers[node]))
        taken[node] += 1
    return places + [f"it has no GPU: only {len(seats)} can be seen"] * (nprocs - len(seats))


def _round_robin(topology: Topology, nprocs: int, allowed: AbstractSet[int]) -> tuple[int, ...]:
    every = {cpu.node for cpu in topology.cpus}
    nodes = sorted({cpu.node for cpu in topology.cpus if cpu.index in allowed} or every)
    return tuple(nodes[rank % len(nodes)] for rank in range(nprocs))


def _sockets(topology: Topology) -> dict[int, int | None]:
    """Node to socket; that of its lowest cpu, since virtual machines may have a socket for each cpu."""
    lowest_last = sorted(topology.cpus, key=lambda cpu: cpu.index, reverse=True)
    return {cpu.node: cpu.socket for cpu in lowest_last}


def _nodes_beside(node: int, sockets: dict[int, int | None]) -> frozenset[int]:
    """The nodes on the socket of ``node``, itself too; empty when the socket is not known."""
    socket = sockets.get(node)
    return frozenset(one for one in sockets if sockets[one] == socket) if socket is not None else frozenset()


def _bind(
    rank: int,
    share: Callable[[Sequence[Cpu], _Place], frozenset[int] | str],
    place: _Place | str,
    cpus: Sequence[Cpu],
    usable: Sequence[Cpu],
) -> Bound | Unbound:
    requested = place if isinstance(place, str) else share(cpus, place)
    if isinstance(place, str) or isinstance(requested, str):
        return Unbound(rank, frozenset(), str(requested))
    if not requested:
        return Unbound(rank, requested, f"NUMA node {place.node} has no cpus")
    effective = share(usable, place)
    if isinstance(effective, str):
        return Unbound(rank, requested, effective)
    if not effective:
        return Unbound(rank, requested, "none of the requested ones is allowed here")
    return Bound(rank, requested, effective)


def _whole_node(cpus: Iterable[Cpu], place: _Place) -> frozenset[int]:
    return frozenset(cpu.index for cpu in cpus if cpu.node == place.node)


def _whole_socket(cpus: Iterable[Cpu], place: _Place) -> frozenset[int] | str:
    if not place.nodes:
        return f"the socket of NUMA node {place.node} is not known"
    return frozenset(cpu.index for cpu in cpus if cpu.node in place.nodes)


def _share_of_cores(cpus: Iterable[Cpu], place: _Place) -> frozenset[int] | str:
    cores = _grouped(cpus, place.node, lambda cpu: cpu.core)
    if cores is None:
        return f"the physical cores of NUMA node {place.node} are not known"
    if len(cores) < place.peers:
        return f"NUMA node {place.node} has {len(cores)} usable physical cores to divide among {place.peers}"
    size, remainder = divmod(len(cores), place.peers)
    first = place.turn * size + min(place.turn, remainder)
    mine = sorted(cores)[first : first + size + (place.turn < remainder)]
    return frozenset().union(*(cores[core] for core in mine))


def _core_complex(cpus: Iterable[Cpu], place: _Place) -> frozenset[int] | str:
    caches = _grouped(cpus, place.node, lambda cpu: cpu.cache)
    if caches is None:
        return f"the caches of NUMA node {place.node} are not known"
    if not caches:
        return frozenset()
    largest_first = sorted(caches, key=lambda cache: (-len(caches[cache]), cache))
    return frozenset(caches[largest_first[place.turn % len(caches)]])


def _grouped(cpus: Iterable[Cpu], node: int, key: Callable[[Cpu], int | None]) -> dict[int, set[int]] | None:
    """The cpus of ``node`` by what they share; None when that is not known of one of them."""
    groups: defaultdict[int, set[int]] = defaultdict(set)
    for cpu in cpus:
        if cpu.node == node:
            name = key(cpu)
            if name is None:
                return None
            groups[name].add(cpu.index)
    return groups


_SHARES: dict[AffinityMode, Callable[[Sequence[Cpu], _Place], frozenset[int] | str]] = {
    AffinityMode.NODE: _whole_node,
    AffinityMode.SOCKET: _whole_socket,
    AffinityMode.EXCLUSIVE: _share_of_cores,
    AffinityMode.CORE_COMPLEX: _core_complex,
}
