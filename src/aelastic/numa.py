"""Binding ranks to the cpus near their GPU: what can be asked for. Names, fields and values are torch's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AffinityMode(StrEnum):
    """Which cpus a rank may run on. Its GPU is the one whose index is the local rank.

    A member is its value as text, so it equals torch's member too, and ``AffinityMode(...)`` takes any of the three.
    """

    NODE = "node"
    """Every cpu of the NUMA node that the GPU is attached to. The choice when in doubt."""

    SOCKET = "socket"
    """Every cpu of every NUMA node on the socket that the GPU is attached to."""

    EXCLUSIVE = "exclusive"
    """An own share of the physical cores of the GPU's node, which its GPUs divide evenly among them."""

    CORE_COMPLEX = "core-complex"
    """The cpus of one last-level cache of the GPU's node, another one for each of its GPUs while there are enough."""


@dataclass(frozen=True, slots=True)
class NumaOptions:
    """How ranks are bound to cpus.

    ``should_fall_back_if_binding_fails``: a rank that cannot be bound runs unbound instead of failing the start.
    """

    affinity_mode: AffinityMode
    should_fall_back_if_binding_fails: bool = False
