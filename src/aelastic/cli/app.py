"""What the ``aelastic`` command understands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from typing import Any

import click

import aelastic
from aelastic.cli.counting import count_ranks
from aelastic.cli.environment import Contract, meeting_point
from aelastic.cli.job import Job
from aelastic.cli.logs_specs import make_logs_specs
from aelastic.cli.options import run_parameters
from aelastic.cli.parameters import SectionedCommand
from aelastic.cli.settings import Settings
from aelastic.cli.summary import tell
from aelastic.cli.views import choose_view

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_RUN = {**_HELP, "allow_interspersed_args": False}  # what follows PROGRAM belongs to it


@click.group(context_settings=_HELP)
@click.version_option(aelastic.__version__)
def app() -> None:
    """Run n ranks of a program: prefixed output, logs, the reason of a failure, and nothing left behind."""
    level = os.environ.get("LOGLEVEL", "WARNING").upper()
    if not level.isdigit() and level not in logging.getLevelNamesMapping():
        raise click.UsageError(f"LOGLEVEL: there is no level {level!r}; WARNING, INFO and DEBUG are some.")
    logging.basicConfig(level=int(level) if level.isdigit() else level, format="aelastic: %(message)s")


@app.command(cls=SectionedCommand, params=run_parameters(), context_settings=_RUN)
def run(**options: Any) -> None:
    """Run PROGRAM with ARGS as --nproc-per-node ranks; the first rank that fails ends them all.

    \b
    A script on four ranks, each line with its rank in front:
        aelastic run --nproc-per-node 4 --tee 3 train.py --epochs 3
    Output into files only, one directory per rank:
        aelastic run --nproc-per-node 4 --redirects 3 --log-dir logs train.py
    A module, and a program that is not Python:
        aelastic run --nproc-per-node 2 -m package.module
        aelastic run --nproc-per-node 2 --no-python ./worker --rank '${local_rank}'

    The options are torchrun's for one machine, with - or _, as are the variables PET_<OPTION> for their defaults and
    RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, ... in the environment of the ranks: scripts for torch.distributed run
    as they are.

    ^C sends SIGINT to the ranks and gives them --shutdown-timeout seconds; a second ^C kills them, a third does not
    wait for that. The exit status is 0, that of the first failing rank, or 128 + the number of a signal.
    """
    settings = Settings(**options)
    _check(settings)
    try:
        sys.exit(_run(settings))
    except (OSError, aelastic.AelasticError) as error:
        raise click.ClickException(str(error)) from error


def _check(settings: Settings) -> None:
    if settings.module and (settings.no_python or settings.run_path):
        raise click.UsageError("-m names a module; --no-python and --run-path take a file.")
    is_file = settings.run_path or not (settings.module or settings.no_python)
    if is_file and not os.path.exists(settings.program):
        raise click.UsageError(
            f"there is no script {settings.program!r}. For a program use --no-python, for a module -m."
        )


def _run(settings: Settings) -> int:
    nproc = count_ranks(settings.nproc_per_node)
    contract = Contract(settings, nproc, meeting_point(settings), os.environ)
    if contract.limits_threads:
        logging.getLogger("aelastic").warning(
            "OMP_NUM_THREADS is not set: each of the %d ranks computes with 1 thread; set it to use more", nproc
        )
    view = choose_view(settings)
    job = Job(settings, contract, make_logs_specs(settings, view.tee(nproc)), view)
    ending = asyncio.run(job.run())
    with contextlib.suppress(OSError):  # nobody reads any more; the exit status still says it
        tell(job, ending)
    if ending.exit_status == 0 and not settings.keeps_logs:  # they were for the table
        shutil.rmtree(job.logs_specs.root_log_dir, ignore_errors=True)
    return ending.exit_status
