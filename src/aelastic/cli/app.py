"""What the ``aelastic`` command understands."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

import aelastic
from aelastic.cli.job import Job
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = {
    "allow_interspersed_args": False,  # what follows PROGRAM belongs to it
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda token: token.replace("_", "-"),  # torchrun's users write both
}


def _streams(ctx: click.Context, param: click.Parameter, value: str) -> Std | dict[int, Std]:
    try:
        return Std.from_str(value)
    except ValueError as error:
        raise click.BadParameter(f"{error} (0 none, 1 stdout, 2 stderr, 3 both)", ctx, param) from error


_STREAMS: dict[str, Any] = {"default": "0", "callback": _streams, "metavar": "0-3|RANK:0-3,..."}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(aelastic.__version__)
def app() -> None:
    """Run n ranks of a program: prefixed output, logs, the reason of a failure, and nothing left behind."""
    logging.basicConfig(level=os.environ.get("LOGLEVEL", "WARNING"), format="aelastic: %(message)s")


@app.command(context_settings=_SETTINGS)
@click.option("--nproc-per-node", default=1, show_default=True, type=click.IntRange(1), help="Number of ranks.")
@click.option("--log-dir", type=click.Path(), help="Directory for the log files; a temporary one without it.")
@click.option("-r", "--redirects", **_STREAMS, help="Streams that go to log files only.")
@click.option("-t", "--tee", **_STREAMS, help="Streams that go to log files and are shown, prefixed.")
@click.option("--role", default="default", show_default=True, help="Name in front of the rank in [<role><rank>]:")
@click.option(
    "--shutdown-timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long a rank that is told to end may take before it is killed.",
)
@click.option("-m", "--module", is_flag=True, help="PROGRAM is a Python module, as in python -m.")
@click.option("--no-python", is_flag=True, help="PROGRAM is any program, not a Python script.")
@click.option("--master-addr", default="127.0.0.1", show_default=True, help="MASTER_ADDR of the ranks.")
@click.option("--master-port", type=click.IntRange(1, 65535), help="MASTER_PORT of the ranks; a free port without it.")
@click.argument("program")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(
    *,
    nproc_per_node: int,
    log_dir: str | None,
    redirects: Std | Mapping[int, Std],
    tee: Std | Mapping[int, Std],
    role: str,
    shutdown_timeout: float,
    module: bool,
    no_python: bool,
    master_addr: str,
    master_port: int | None,
    program: str,
    args: tuple[str, ...],
) -> None:
    """Run PROGRAM with ARGS as --nproc-per-node ranks; the first rank that fails ends them all.

    \b
    Four ranks of a script, output shown with the rank in front:
        aelastic run --nproc-per-node 4 --tee 3 train.py --epochs 3
    Output into files only, one directory per rank:
        aelastic run --nproc-per-node 4 --redirects 3 --log-dir logs train.py
    A module, and a program that is not Python:
        aelastic run --nproc-per-node 2 -m package.module
        aelastic run --nproc-per-node 2 --no-python ./worker --fast

    Each rank finds RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and the other variables of torchrun in
    its environment, so scripts for torch.distributed run as they are.

    ^C sends SIGINT to the ranks and gives them --shutdown-timeout seconds; a second ^C kills them. The exit status is
    0, that of the first failing rank, or 128 + the number of the signal that ended it.
    """
    job = Job(
        nproc=nproc_per_node,
        program=program,
        args=args,
        kind="module" if module else "program" if no_python else "script",
        role=role,
        master_addr=master_addr,
        master_port=master_port,
        shutdown_timeout=shutdown_timeout,
        logs_specs=_logs_specs(log_dir, redirects, tee),
    )
    if module and no_python:
        raise click.UsageError("-m and --no-python exclude each other.")
    if job.kind == "script" and not os.path.isfile(program):
        raise click.UsageError(f"there is no script {program!r}. For a program use --no-python, for a module -m.")
    try:
        sys.exit(asyncio.run(job.run()))
    except (OSError, aelastic.AelasticError) as error:
        raise click.ClickException(str(error)) from error


def _logs_specs(
    log_dir: str | None, redirects: Std | Mapping[int, Std], tee: Std | Mapping[int, Std]
) -> aelastic.DefaultLogsSpecs:
    try:
        return aelastic.DefaultLogsSpecs(log_dir, redirects, tee)
    except NotADirectoryError as error:
        raise click.BadParameter(str(error), param_hint="--log-dir") from error
