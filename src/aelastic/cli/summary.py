"""What is said when a run is over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from aelastic.cli.words import counted, duration
from aelastic.errors import ChildFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aelastic.cli.job import Ending, Job
    from aelastic.results import RunProcsResult


def tell(job: Job, ending: Ending) -> None:
    """Say on standard error how it ended: which rank failed, why, and where the logs are."""
    result = ending.result
    if result is not None and result.first_failure is not None:
        click.echo(str(ChildFailedError(job.settings.program, result.failures)), err=True)
    for line in _lines(job, ending):
        click.echo(f"aelastic: {line}", err=True)


def _lines(job: Job, ending: Ending) -> Iterator[str]:
    result = ending.result
    restarts = f" and {counted(result.restarts, 'restart')}" if result is not None and result.restarts else ""
    yield f"{_outcome(job, ending)} after {duration(ending.seconds)}{restarts}"
    if result is None:
        return
    for rank, pid in result.abandoned.items():
        yield f"rank {rank} (pid {pid}) did not end even after SIGKILL"
    for path, count in result.lost_log_bytes.items():
        yield f"{count} bytes could not be written to {path}"
    if result.is_failed() and os.path.isdir(job.logs_specs.root_log_dir):
        yield f"logs are in {job.logs_specs.root_log_dir}"


def _outcome(job: Job, ending: Ending) -> str:
    first = ending.result.first_failure if ending.result else None
    if first is not None and ending.result is not None:
        return f"rank {first.local_rank} {first.reason}{_others(ending.result)},"
    if ending.received is not None:
        return f"stopped by {ending.received.name}"
    return f"{counted(job.contract.nproc, 'rank')} {'stopped' if ending.failed else 'succeeded'}"


def _others(result: RunProcsResult) -> str:
    others = len(result.failures) - 1
    return f" ({counted(others, 'other')} failed or {'were' if others > 1 else 'was'} stopped)" if others else ""
