"""Which cpus each rank gets, on made-up machines; compared with torch's own computation on the same machines."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.affinity import Bound, Topology, Unbound, bind_ranks, format_cpus, parse_cpus, shortfall
from aelastic.numa import AffinityMode, NumaOptions
from tests.helpers.sysfs import Machine, sysfs_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

MACHINE = Machine()
EVERY = frozenset(range(128))
NODE, SOCKET, EXCLUSIVE, CORE_COMPLEX = AffinityMode


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Machines of any shape, with GPUs on some nodes or with none at all."""
    machine = Machine(
        sockets=draw(st.integers(1, 3)),
        nodes_per_socket=draw(st.integers(1, 3)),
        cores_per_node=draw(st.integers(1, 9)),
        threads=draw(st.integers(1, 3)),
        cores_per_cache=draw(st.integers(1, 9)),
    )
    return replace(machine, gpu_nodes=tuple(draw(st.lists(st.sampled_from(machine.nodes), max_size=9))))


@st.composite
def restricted(draw: st.DrawFn) -> tuple[Machine, frozenset[int]]:
    """A machine, and the cpus of it that are allowed, with some that it does not have."""
    machine = draw(machines())
    return machine, draw(st.frozensets(st.integers(0, len(machine.cpus) + 3)))


modes = st.sampled_from(AffinityMode)


def bound(mode: AffinityMode, topology: Topology, nprocs: int, allowed: AbstractSet[int]) -> list[frozenset[int]]:
    """The cpus of every rank; each must be bound."""
    outcomes = bind_ranks(mode, topology, nprocs, allowed)
    assert [outcome.rank for outcome in outcomes] == list(range(nprocs))
    for outcome in outcomes:
        assert isinstance(outcome, Bound), outcome
    return [outcome.cpus for outcome in outcomes if isinstance(outcome, Bound)]


def reason(mode: AffinityMode, topology: Topology, allowed: AbstractSet[int] = EVERY, rank: int = 0) -> str:
    """Why ``rank`` is not bound."""
    outcome = bind_ranks(mode, topology, rank + 1, allowed)[rank]
    assert isinstance(outcome, Unbound)
    return outcome.reason


# What can be asked for


def test_names_and_values_are_torchs() -> None:
    torch_numa = pytest.importorskip("torch.numa.binding")
    assert {mode.name: mode.value for mode in AffinityMode} == {
        mode.name: mode.value for mode in torch_numa.AffinityMode
    }
    ours, theirs = NumaOptions(NODE), torch_numa.NumaOptions(torch_numa.AffinityMode.NODE)
    assert ours.affinity_mode == theirs.affinity_mode
    assert ours.should_fall_back_if_binding_fails is theirs.should_fall_back_if_binding_fails is False
    assert NumaOptions(NODE, True) == NumaOptions(affinity_mode=NODE, should_fall_back_if_binding_fails=True)


def test_torchs_own_modes_are_taken() -> None:
    torch_numa = pytest.importorskip("torch.numa.binding")
    for theirs in torch_numa.AffinityMode:
        assert AffinityMode(theirs) is AffinityMode(theirs.value)
        expected = bind_ranks(AffinityMode(theirs.value), MACHINE.topology, 8, EVERY)
        assert bind_ranks(theirs, MACHINE.topology, 8, EVERY) == expected


@pytest.mark.parametrize("mode", ["nodes", "NODE", "", None, 1])
def test_what_is_no_mode_is_refused(mode: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid AffinityMode"):
        bind_ranks(mode, MACHINE.topology, 1, EVERY)


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        NumaOptions(NODE).affinity_mode = SOCKET  # type: ignore[misc]


# Eight ranks, eight GPUs, two sockets of two nodes


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (NODE, ["0-15,64-79"] * 2 + ["16-31,80-95"] * 2 + ["32-47,96-111"] * 2 + ["48-63,112-127"] * 2),
        (SOCKET, ["0-31,64-95"] * 4 + ["32-63,96-127"] * 4),
        (
            EXCLUSIVE,
            [
                "0-7,64-71",
                "8-15,72-79",
                "16-23,80-87",
                "24-31,88-95",
                "32-39,96-103",
                "40-47,104-111",
                "48-55,112-119",
                "56-63,120-127",
            ],
        ),
        (
            CORE_COMPLEX,
            [
                "0-3,64-67",
                "4-7,68-71",
                "16-19,80-83",
                "20-23,84-87",
                "32-35,96-99",
                "36-39,100-103",
                "48-51,112-115",
                "52-55,116-119",
            ],
        ),
    ],
)
def test_eight_ranks(mode: AffinityMode, expected: list[str]) -> None:
    got = bound(mode, MACHINE.topology, 8, EVERY)
    assert [format_cpus(cpus) for cpus in got] == expected
    assert all(shortfall(outcome, EVERY) == "" for outcome in bind_ranks(mode, MACHINE.topology, 8, EVERY))


def test_a_rank_follows_its_gpu_wherever_that_is() -> None:
    crossed = replace(MACHINE.topology, gpu_nodes=(3, 1, 3, 0))
    assert bound(NODE, crossed, 4, EVERY) == [MACHINE.on_node(node) for node in (3, 1, 3, 0)]
    shares = bound(EXCLUSIVE, crossed, 4, EVERY)
    assert [format_cpus(cpus) for cpus in (shares[0], shares[2])] == ["48-55,112-119", "56-63,120-127"]


def test_a_node_is_divided_among_its_gpus_though_some_have_no_rank() -> None:
    assert bound(EXCLUSIVE, MACHINE.topology, 1, EVERY) == [parse_cpus("0-7,64-71")]


def test_the_remainder_goes_to_the_first_ones() -> None:
    shares = bound(EXCLUSIVE, Machine(1, 1, 11, 2, gpu_nodes=(0, 0, 0)).topology, 3, range_set(22))
    assert [format_cpus(cpus) for cpus in shares] == ["0-3,11-14", "4-7,15-18", "8-10,19-21"]


def test_more_gpus_than_caches_share_them_in_turn() -> None:
    got = bound(CORE_COMPLEX, Machine(1, 1, 4, 1, cores_per_cache=2, gpu_nodes=(0,) * 5).topology, 5, range_set(4))
    assert [format_cpus(cpus) for cpus in got] == ["0-1", "2-3", "0-1", "2-3", "0-1"]


def test_caches_with_more_allowed_cpus_come_first() -> None:
    got = bound(CORE_COMPLEX, MACHINE.topology, 2, parse_cpus("0-1,4-7,12-15"))
    assert [format_cpus(cpus) for cpus in got] == ["4-7", "12-15"]


def test_a_thread_that_is_not_allowed_does_not_cost_its_core() -> None:
    shares = bound(EXCLUSIVE, MACHINE.topology, 2, parse_cpus("0-3,66"))
    assert [format_cpus(cpus) for cpus in shares] == ["0-1", "2-3,66"]


# Machines without GPUs


def test_without_gpus_ranks_go_round_robin() -> None:
    topology = Topology(MACHINE.cpus)
    assert bound(NODE, topology, 6, EVERY) == [MACHINE.on_node(node) for node in (0, 1, 2, 3, 0, 1)]
    shares = bound(EXCLUSIVE, topology, 6, EVERY)
    assert [format_cpus(cpus) for cpus in shares] == [
        "0-7,64-71",
        "16-23,80-87",
        "32-47,96-111",
        "48-63,112-127",
        "8-15,72-79",
        "24-31,88-95",
    ]


def test_round_robin_leaves_out_nodes_without_allowed_cpus() -> None:
    allowed = parse_cpus("20-21,50-51")
    assert bound(NODE, Topology(MACHINE.cpus), 3, allowed) == [{20, 21}, {50, 51}, {20, 21}]


# What cannot be bound


def test_no_allowed_cpu_of_the_node() -> None:
    outcomes = bind_ranks(NODE, MACHINE.topology, 3, {0, 1})
    assert outcomes[2] == Unbound(2, MACHINE.on_node(1), "none of the requested ones is allowed here")
    assert shortfall(outcomes[2], {0, 1}) == (
        "rank 2: requested cpus 16-31,80-95, effective cpus 0-1 (none of the requested ones is allowed here)"
    )


def test_some_allowed_cpus_of_the_node() -> None:
    outcome = bind_ranks(NODE, MACHINE.topology, 1, {0, 1, 99})[0]
    assert outcome == Bound(0, MACHINE.on_node(0), frozenset({0, 1}))
    assert shortfall(outcome, {0, 1, 99}) == (
        "rank 0: requested cpus 0-15,64-79, effective cpus 0-1 (the others are not allowed here)"
    )


def test_the_socket_is_used_when_only_its_other_node_is_allowed() -> None:
    """Torch raises ValueError: it takes the lowest allowed cpu of every node of the machine."""
    assert bound(SOCKET, MACHINE.topology, 1, parse_cpus("20-23")) == [parse_cpus("20-23")]


def test_more_ranks_than_gpus() -> None:
    assert reason(NODE, MACHINE.topology, rank=8) == "it has no GPU: only 8 can be seen"


def test_fewer_cores_than_gpus() -> None:
    assert "1 usable physical cores to divide among 2" in reason(EXCLUSIVE, MACHINE.topology, {0, 64})


def test_a_gpu_nobody_knows_the_place_of() -> None:
    topology = Topology(MACHINE.cpus, (None, 0, None))
    assert reason(NODE, topology, rank=2) == "the NUMA node of GPU 2 is not known"
    assert isinstance(bind_ranks(NODE, topology, 2, EVERY)[1], Bound)


def test_gpus_nobody_knows() -> None:
    outcomes = bind_ranks(NODE, Topology(MACHINE.cpus, gpus_unknown="no NVML"), 2, EVERY)
    assert outcomes == (Unbound(0, frozenset(), "no NVML"), Unbound(1, frozenset(), "no NVML"))
    assert shortfall(outcomes[1], {3}) == "rank 1: requested cpus unknown, effective cpus 3 (no NVML)"


def test_a_gpu_on_a_node_without_cpus() -> None:
    for mode in (NODE, CORE_COMPLEX):
        assert reason(mode, Topology(MACHINE.cpus, (9,))) == "NUMA node 9 has no cpus"


@pytest.mark.parametrize("gpu_nodes", [(), (0,)])
def test_a_system_without_nodes(gpu_nodes: tuple[int, ...]) -> None:
    assert reason(NODE, Topology((), gpu_nodes)) == "the system names no NUMA node with cpus"


@pytest.mark.parametrize(
    ("mode", "unknown", "expected"),
    [(SOCKET, "socket", "socket"), (EXCLUSIVE, "core", "physical cores"), (CORE_COMPLEX, "cache", "caches")],
)
def test_what_a_mode_needs_and_nobody_knows(mode: AffinityMode, unknown: str, expected: str) -> None:
    nothing: dict[str, Any] = {unknown: None}
    cpus = tuple(replace(cpu, **nothing) if cpu.index % 16 == 0 else cpu for cpu in MACHINE.cpus)
    assert reason(mode, Topology(cpus, (0,))).startswith(f"the {expected} of NUMA node 0")
    assert isinstance(bind_ranks(NODE, Topology(cpus, (0,)), 1, EVERY)[0], Bound)


def test_a_socket_for_each_cpu() -> None:
    """What QEMU makes of ``-smp 8`` with two nodes: a node is whole all the same, as in torch."""
    cpus = tuple(replace(cpu, socket=cpu.index) for cpu in Machine(1, 2, 4, 1).cpus)
    assert bound(SOCKET, Topology(cpus, (0, 1)), 2, range_set(8)) == [range_set(4), range_set(8) - range_set(4)]


# Whatever the machine


@given(modes, restricted(), st.integers(0, 12))
def test_a_rank_gets_allowed_cpus_or_a_reason(
    mode: AffinityMode, restriction: tuple[Machine, frozenset[int]], nprocs: int
) -> None:
    machine, allowed = restriction
    outcomes = bind_ranks(mode, machine.topology, nprocs, allowed)
    assert [outcome.rank for outcome in outcomes] == list(range(nprocs))
    for outcome in outcomes:
        if isinstance(outcome, Bound):
            assert outcome.cpus
            assert outcome.cpus <= allowed & {cpu.index for cpu in machine.cpus}
            assert bool(shortfall(outcome, allowed)) == (outcome.cpus != outcome.requested)
        else:
            assert outcome.reason in shortfall(outcome, allowed)


@given(restricted())
def test_exclusive_shares_are_disjoint_even_and_cover_the_node(restriction: tuple[Machine, frozenset[int]]) -> None:
    machine, allowed = restriction
    nprocs = len(machine.gpu_nodes) or 5
    outcomes = bind_ranks(EXCLUSIVE, machine.topology, nprocs, allowed)
    nodes = bind_ranks(NODE, machine.topology, nprocs, allowed)
    for node in {outcome.cpus for outcome in nodes if isinstance(outcome, Bound)}:
        ranks = [whole.rank for whole in nodes if isinstance(whole, Bound) and whole.cpus == node]
        shares = [one.cpus for rank in ranks if isinstance(one := outcomes[rank], Bound)]
        cores = [len({cpu % machine.cores for cpu in share}) for share in shares]
        if shares:
            assert len(shares) == len(ranks)
            assert frozenset().union(*shares) == node
            assert sum(map(len, shares)) == len(node)
            assert cores == sorted(cores, reverse=True)
            assert cores[0] - cores[-1] <= 1
        else:
            assert len({cpu % machine.cores for cpu in node}) < len(ranks)


@given(st.sampled_from([NODE, SOCKET]), restricted())
def test_node_and_socket_are_symmetric(mode: AffinityMode, restriction: tuple[Machine, frozenset[int]]) -> None:
    """Two ranks have the same cpus, or none in common; those of a node are among those of its socket."""
    machine, allowed = restriction
    outcomes = bind_ranks(mode, machine.topology, 7, allowed)
    sets = {outcome.cpus for outcome in outcomes if isinstance(outcome, Bound)}
    assert sum(map(len, sets)) == len(frozenset().union(*sets))
    nodes = bind_ranks(NODE, machine.topology, 7, allowed)
    for node, outcome in zip(nodes, outcomes, strict=True):
        if isinstance(node, Bound):
            assert isinstance(outcome, Bound)
            assert node.cpus <= outcome.cpus


@given(restricted())
def test_a_core_complex_is_all_of_one_cache(restriction: tuple[Machine, frozenset[int]]) -> None:
    machine, allowed = restriction
    for outcome in bind_ranks(CORE_COMPLEX, machine.topology, len(machine.gpu_nodes), allowed):
        if isinstance(outcome, Bound):
            (cache,) = {machine.cpus[cpu].cache for cpu in outcome.cpus}
            assert outcome.cpus == {cpu.index for cpu in machine.cpus if cpu.cache == cache} & allowed


# Lists of cpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,8-11\n", {0, 1, 2, 3, 8, 9, 10, 11}),
        ("5", {5}),
        ("0,2", {0, 2}),
        ("3-3,1", {1, 3}),
        ("", set()),
        ("\n", set()),
        ("none", set()),
        ("0-3,", set()),
        ("0-3;5", set()),
        ("-1", set()),
        ("0-99999", set()),
        ("0-60000,0-60000", set()),
        ("123456", set()),
        ("٣", set()),
    ],
)
def test_parse_cpus(text: str, expected: set[int]) -> None:
    assert parse_cpus(text) == expected


@given(st.frozensets(st.integers(0, 300)))
def test_format_cpus_is_the_inverse(cpus: frozenset[int]) -> None:
    assert parse_cpus(format_cpus(cpus)) == cpus


@given(st.text("0123456789-, \n\0x"))
def test_any_text_is_a_set(text: str) -> None:
    assert isinstance(parse_cpus(text), frozenset)


# Torch


class TorchOn:
    """Torch's own computation on the machine whose tree is at ``root``: its files, its GPUs, its allowed cpus.

    Torch has the paths written into its functions, so the ``open`` and the ``os`` that its module sees lead into the
    tree; and it asks CUDA for the GPUs, so its ``torch`` is one that knows those of the machine.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, machine: Machine, root: str) -> None:
        self.binding = pytest.importorskip("torch.numa.binding")
        self.machine = machine
        self.allowed: AbstractSet[int] = frozenset(cpu.index for cpu in machine.cpus)

        def inside(path: str) -> str:
            return path.replace("/sys", root, 1)

        def open_inside(path: str) -> TextIO:
            return open(inside(path))

        fake_os = SimpleNamespace(
            path=os.path,
            listdir=lambda path: os.listdir(inside(path)),
            sched_getaffinity=lambda _: set(self.allowed),
        )
        cuda = SimpleNamespace(device_count=lambda: len(machine.gpu_nodes), get_device_properties=self._properties)
        monkeypatch.setattr(self.binding, "open", open_inside, raising=False)
        monkeypatch.setattr(self.binding, "os", fake_os)
        monkeypatch.setattr(self.binding, "torch", SimpleNamespace(cuda=cuda))

    def cpus(self, mode: AffinityMode, rank: int) -> set[int]:
        """What torch computes for ``rank``; raises what torch raises."""
        options = self.binding.NumaOptions(self.binding.AffinityMode(mode.value))
        cpus: set[int] = self.binding._get_logical_cpus_to_bind_to(gpu_index=rank, numa_options=options)
        return cpus

    def _properties(self, gpu: int) -> SimpleNamespace:
        domain, bus, rest = sysfs_address(gpu).split(":")
        return SimpleNamespace(
            pci_domain_id=int(domain, 16), pci_bus_id=int(bus, 16), pci_device_id=int(rest.split(".")[0], 16)
        )


ODD_MACHINES = [
    MACHINE,
    Machine(1, 1, 11, 2, cores_per_cache=3, gpu_nodes=(0, 0, 0)),
    Machine(2, 1, 6, 1, cores_per_cache=2, gpu_nodes=(1, 0, 1, 1, 0)),
    Machine(1, 4, 3, 2, cores_per_cache=3, gpu_nodes=(2, 2, 2, 2, 0, 1)),
]


@pytest.fixture(scope="module", params=ODD_MACHINES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, str]:
    """A machine and the root of its tree, written once for all modes."""
    machine: Machine = request.param
    return machine, machine.write(tmp_path_factory.mktemp("sys"))


@pytest.mark.parametrize("mode", AffinityMode)
def test_torch_computes_the_same(
    monkeypatch: pytest.MonkeyPatch, written: tuple[Machine, str], mode: AffinityMode
) -> None:
    machine, root = written
    torch = TorchOn(monkeypatch, machine, root)
    outcomes = bind_ranks(mode, machine.topology, len(machine.gpu_nodes), torch.allowed)
    for rank, outcome in enumerate(outcomes):
        if isinstance(outcome, Bound):
            assert torch.cpus(mode, rank) == outcome.cpus
        else:
            with pytest.raises(RuntimeError):
                torch.cpus(mode, rank)


def test_torch_computes_the_same_whatever_is_allowed(tmp_path: Any) -> None:
    """Where torch raises or gives nothing, ours is a reason; but for sockets, of which torch needs every node."""
    machine = Machine(2, 2, 4, 2, cores_per_cache=2, gpu_nodes=(0, 0, 3, 1, 3, 3))
    root = machine.write(tmp_path)

    @given(modes, st.frozensets(st.integers(0, 31)))
    def compare(mode: AffinityMode, allowed: frozenset[int]) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            torch = TorchOn(monkeypatch, machine, root)
            torch.allowed = allowed
            for outcome in bind_ranks(mode, machine.topology, 6, allowed):
                assert_equal(outcome, mode, allowed, torch.cpus)

    def assert_equal(
        outcome: Bound | Unbound,
        mode: AffinityMode,
        allowed: frozenset[int],
        torch_cpus: Callable[[AffinityMode, int], set[int]],
    ) -> None:
        try:
            theirs = torch_cpus(mode, outcome.rank)
        except (RuntimeError, ValueError, ZeroDivisionError):
            theirs = set()
        needs_more_than_there_is = mode is SOCKET and any(not machine.on_node(node) & allowed for node in machine.nodes)
        if isinstance(outcome, Unbound):
            assert not theirs
        elif not needs_more_than_there_is:
            assert outcome.cpus == theirs

    compare()


def range_set(end: int) -> frozenset[int]:
    """The first ``end`` cpus."""
    return frozenset(range(end))
