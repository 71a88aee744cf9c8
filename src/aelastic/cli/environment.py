"""The environment, the arguments and the headers that torchrun would give to the ranks."""

from __future__ import annotations

import socket
import uuid
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from aelastic.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aelastic.cli.settings import Settings

_HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class MeetingPoint:
    """Where the ranks of a run find each other. ``port`` None: any that is free."""

    run_id: str
    address: str
    port: int | None


def meeting_point(settings: Settings) -> MeetingPoint:
    """Torchrun's rules: a port that was given makes it static; else the port and the run id are new ones."""
    local = settings.local_addr or _HERE
    run_id = settings.rdzv_id or "none"
    if settings.standalone:
        return MeetingPoint(str(uuid.uuid4()), local, None)
    if settings.rdzv_backend == "c10d":
        return MeetingPoint(run_id, local, None)
    if settings.rdzv_endpoint is not None:
        return MeetingPoint(run_id, *settings.rdzv_endpoint)
    if settings.master_port is not None:
        return MeetingPoint(run_id, settings.master_addr or _HERE, settings.master_port)
    address = settings.local_addr or settings.master_addr or _HERE
    return MeetingPoint(settings.rdzv_id or str(uuid.uuid4()), address, None)


@dataclass(frozen=True, slots=True)
class Contract:
    """What torchrun promises to the ranks of one machine. ``inherited`` is the launcher's own environment."""

    settings: Settings
    nproc: int
    point: MeetingPoint
    inherited: Mapping[str, str]

    def envs(self, restart_count: int = 0) -> dict[int, dict[str, str]]:
        """What each local rank's environment adds to ours. Raises ``InvalidArgumentError`` when it has no GPU."""
        shared = self._shared(restart_count)
        return {rank: {**shared, **self._own(rank)} for rank in range(self.nproc)}

    def args(self, arguments: tuple[str, ...]) -> dict[int, tuple[str, ...]]:
        """``arguments`` for each local rank, which is written ``${local_rank}`` in them."""
        return {rank: tuple(one.replace("${local_rank}", str(rank)) for one in arguments) for rank in range(self.nproc)}

    def prefixes(self) -> dict[int, str] | None:
        """The header of each rank's lines by ``TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE``; None for the usual one."""
        text = self.inherited.get("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE")
        if not text:
            return None
        role, template = self.settings.role, Template(text)
        return {
            rank: template.safe_substitute(role_name=role, rank=rank, local_rank=rank) for rank in range(self.nproc)
        }

    @property
    def limits_threads(self) -> bool:
        """Whether the ranks are told to compute with one thread each, as nobody has said with how many."""
        return self.nproc > 1 and "OMP_NUM_THREADS" not in self.inherited

    def _shared(self, restart_count: int) -> dict[str, str]:
        size = str(self.nproc)
        return {
            "LOCAL_WORLD_SIZE": size,
            "WORLD_SIZE": size,
            "GROUP_RANK": "0",
            "GROUP_WORLD_SIZE": "1",
            "ROLE_NAME": self.settings.role,
            "ROLE_WORLD_SIZE": size,
            "MASTER_ADDR": self.point.address,
            "MASTER_PORT": str(self.point.port or _free_port()),
            "TORCHELASTIC_RUN_ID": self.point.run_id,
            "TORCHELASTIC_RESTART_COUNT": str(restart_count),
            "TORCHELASTIC_MAX_RESTARTS": str(self.settings.max_restarts),
            "TORCHELASTIC_USE_AGENT_STORE": "False",  # rank 0 opens the store on MASTER_PORT itself
            "TORCHELASTIC_SIGNALS_TO_HANDLE": ",".join(one.name for one in self.settings.signals_to_handle),
            "TORCH_NCCL_ASYNC_ERROR_HANDLING": self.inherited.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
            **({"OMP_NUM_THREADS": "1"} if self.limits_threads else {}),
        }

    def _own(self, rank: int) -> dict[str, str]:
        own = dict.fromkeys(("RANK", "LOCAL_RANK", "ROLE_RANK"), str(rank))
        if not self.settings.virtual_local_rank:
            return own
        return {**own, "LOCAL_RANK": "0", "CUDA_VISIBLE_DEVICES": self._gpu(rank)}

    def _gpu(self, rank: int) -> str:
        visible = self.inherited.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            return str(rank)
        gpus = [one.strip() for one in visible.split(",") if one.strip()]
        if rank >= len(gpus):
            raise InvalidArgumentError(
                f"--virtual-local-rank: there is no GPU for rank {rank}, CUDA_VISIBLE_DEVICES={visible}"
            )
        return gpus[rank]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        port: int = probe.getsockname()[1]
        return port
