"""Which cpus the ranks of a run may use."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from aelastic.decide.affinity import Bound, Unbound, bind_ranks, shortfall
from aelastic.errors.base import InvalidArgumentError
from aelastic.process.topology import allowed_cpus, read_topology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aelastic.numa import NumaOptions

logger = logging.getLogger("aelastic")


def cpus_by_rank(options: NumaOptions, nprocs: int, ranks: Sequence[int]) -> dict[int, frozenset[int]]:
    """The cpus of those of ``ranks`` that can be bound, beside the others of ``nprocs``.

    One warning says who gets less than was asked for.

    Raises ``InvalidArgumentError`` when a rank cannot be bound and ``options`` do not let it run unbound. Blocks.
    """
    allowed = allowed_cpus()
    topology = read_topology(os.environ.get("CUDA_VISIBLE_DEVICES"))
    bound = bind_ranks(options.affinity_mode, topology, nprocs, allowed)
    outcomes = [bound[rank] for rank in ranks]
    clauses = "; ".join(filter(None, (shortfall(outcome, allowed) for outcome in outcomes)))
    if any(isinstance(outcome, Unbound) for outcome in outcomes) and not options.should_fall_back_if_binding_fails:
        raise InvalidArgumentError(
            f"numa_options: {clauses}; with should_fall_back_if_binding_fails=True such a rank runs unbound"
        )
    if clauses:
        logger.warning("NUMA binding gives less than was asked for: %s", clauses)
    return {outcome.rank: outcome.cpus for outcome in outcomes if isinstance(outcome, Bound)}
