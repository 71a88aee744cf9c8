"""How many ranks ``--nproc-per-node auto``, ``cpu`` and ``gpu`` stand for."""

from __future__ import annotations

import os

from aelastic.errors import InvalidArgumentError

_AMD = "/dev/kfd"


def count_ranks(wanted: int | str) -> int:
    """The number itself, or what there is on this machine for this process. Raises ``InvalidArgumentError``."""
    if isinstance(wanted, int):
        return wanted
    from aelastic.process.topology import allowed_cpus, count_gpus  # 8 ms that a number does without

    if wanted == "cpu":
        return len(allowed_cpus())
    gpus = count_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if gpus:
        return gpus
    if os.path.exists(_AMD):
        raise InvalidArgumentError(f"--nproc-per-node {wanted}: AMD's GPUs are not counted here; write their number")
    if wanted == "gpu":
        raise InvalidArgumentError(
            "--nproc-per-node gpu: there is no NVIDIA GPU here, or CUDA_VISIBLE_DEVICES hides it"
        )
    return len(allowed_cpus())
