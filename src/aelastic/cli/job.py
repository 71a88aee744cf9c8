"""One ``aelastic run``: the environment of the ranks, their run, and what is said at its end."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from aelastic.conduct.context import SubprocessContext
from aelastic.conduct.signals import handle_signals
from aelastic.errors import ChildFailedError, NotRunningError

if TYPE_CHECKING:
    import signal

    from aelastic.logs.specs import DefaultLogsSpecs
    from aelastic.results import RunProcsResult


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for. ``shutdown_timeout`` is in seconds."""

    nproc: int
    program: str
    args: tuple[str, ...]
    kind: Literal["script", "module", "program"]
    role: str
    master_addr: str
    master_port: int | None
    shutdown_timeout: float
    logs_specs: DefaultLogsSpecs

    async def run(self) -> int:
        """Run the ranks to their end; the exit status. Raises ``OSError`` when they cannot be started."""
        command = self.command()
        envs = self.envs()
        ctx = SubprocessContext(
            self.role,
            command[0],
            dict.fromkeys(range(self.nproc), command[1:]),
            envs,
            self.logs_specs,
            shutdown_timeout=self.shutdown_timeout,
        )
        with handle_signals(ctx) as received:
            try:
                async with ctx:
                    result = await ctx.wait()
            except NotRunningError:
                if received.signal is None:
                    raise
                result = None
        if result is not None:
            self._tell(result)
        return _exit_status(result, received.signal)

    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        if self.kind == "program":
            return self.program, *self.args
        flags = ("-u", "-m") if self.kind == "module" else ("-u",)
        return os.environ.get("PYTHON_EXEC", sys.executable), *flags, self.program, *self.args

    def envs(self) -> dict[int, dict[str, str]]:
        """The environment that torchrun gives to its ranks, by local rank."""
        port = self.master_port or _free_port()
        shared = {
            "LOCAL_WORLD_SIZE": str(self.nproc),
            "WORLD_SIZE": str(self.nproc),
            "GROUP_RANK": "0",
            "GROUP_WORLD_SIZE": "1",
            "ROLE_NAME": self.role,
            "ROLE_WORLD_SIZE": str(self.nproc),
            "MASTER_ADDR": self.master_addr,
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": str(uuid.uuid4()),
            "TORCHELASTIC_RESTART_COUNT": "0",
            "TORCHELASTIC_MAX_RESTARTS": "0",
            "TORCHELASTIC_USE_AGENT_STORE": "False",  # rank 0 opens the store on MASTER_PORT itself
            "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
        }
        return {
            rank: {**shared, **dict.fromkeys(("RANK", "LOCAL_RANK", "ROLE_RANK"), str(rank))}
            for rank in range(self.nproc)
        }

    def _tell(self, result: RunProcsResult) -> None:
        """Say which rank failed, why, and where the logs are."""
        first = result.first_failure
        if first is not None:
            click.echo(str(ChildFailedError(self.program, result.failures)), err=True)
            others = f" ({len(result.failures) - 1} others failed or were stopped)" if len(result.failures) > 1 else ""
            click.echo(f"aelastic: rank {first.local_rank} {first.reason}{others}", err=True)
        for path, count in result.lost_log_bytes.items():
            click.echo(f"aelastic: {count} bytes could not be written to {path}", err=True)
        if first is not None and os.path.isdir(self.logs_specs.root_log_dir):
            click.echo(f"aelastic: logs are in {self.logs_specs.root_log_dir}", err=True)


def _exit_status(result: RunProcsResult | None, received: signal.Signals | None) -> int:
    if received is not None:
        return 128 + received
    first = result.first_failure if result else None
    if first is None:
        return 0
    return first.exitcode if first.exitcode > 0 else 128 - first.exitcode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
