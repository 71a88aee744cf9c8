"""The options of ``aelastic run``: torchrun's for one machine, and a few of our own."""

from __future__ import annotations

from typing import Any

import click

from aelastic.cli import values
from aelastic.cli.parameters import Choice, Flag
from aelastic.numa import AffinityMode

_STREAMS = "0-3|RANK:0-3,..."


def run_parameters() -> list[click.Parameter]:
    """All of them, in the order of the help, and what is run."""
    return [
        *_ranks(), *_output(), *_signals(), *_placement(), *_meeting_point(), *_only_for_several_nodes(),
        click.Argument(["program"]),
        click.Argument(["args"], nargs=-1, type=click.UNPROCESSED),
    ]  # fmt: skip


def _ranks() -> list[Flag]:
    section: Any = {"section": "What to run"}
    return [
        Flag(
            "--nproc-per-node", **section, default="1", metavar="N|auto|cpu|gpu", parse=values.number_of_ranks,
            help="Number of ranks [1]; auto: one for each GPU, or for each CPU where there is none.",
        ),
        Flag("-m", "--module", **section, is_flag=True, help="PROGRAM is a Python module, as in python -m."),
        Flag("--no-python", **section, is_flag=True, help="PROGRAM is any program, not a Python script."),
        Flag("--run-path", **section, is_flag=True, help="Run the script by runpy in a rank made by --start-method."),
        Flag(
            "--start-method", **section, default="spawn", type=Choice(["spawn", "fork", "forkserver"]),
            help="How --run-path makes a rank [spawn].",
        ),
        Flag(
            "--max-restarts", **section, default="0", metavar="N", parse=values.count,
            help="How often all ranks are started anew after a failure [0].",
        ),
    ]  # fmt: skip


def _output() -> list[Flag]:
    section: Any = {"section": "Output"}
    streams: Any = {**section, "default": "0", "metavar": _STREAMS, "parse": values.streams}
    needles: Any = {**section, "default": "", "metavar": "TEXT,...", "parse": values.words}
    return [
        Flag("-t", "--tee", **streams, help="Streams to show, prefixed, and to keep in files: 1 stdout, 2 stderr, 3."),
        Flag("-r", "--redirects", **streams, help="Streams to keep in files only."),
        Flag("--log-dir", **section, type=click.Path(), help="Where the files go [a temporary directory]."),
        Flag(
            "--local-ranks-filter", **section, default="", metavar="RANK,...", parse=values.ranks,
            help="Show the output of these ranks only.",
        ),
        Flag("--duplicate-stdout-filters", **needles, help="Copy teed lines with such a text to filtered_stdout.log."),
        Flag("--duplicate-stderr-filters", **needles, help="The same for stderr."),
        Flag("--role", **section, default="default", help="What stands before the rank in [<role><rank>]: [default]."),
        Flag("--logs-specs", **section, envvar=(), metavar="NAME", help="A LogsSpecs by the name of its entry point."),
        Flag("--plain", **section, envvar=(), is_flag=True, help="No live table: the terminal is left to the ranks."),
        Flag("--json", **section, envvar=(), is_flag=True, help="Events as JSON lines; what ranks say goes to stderr."),
    ]  # fmt: skip


def _signals() -> list[Flag]:
    section: Any = {"section": "Ending"}
    return [
        Flag(
            "--shutdown-timeout", **section, default="30", metavar="SECONDS", parse=values.seconds,
            envvar=("PET_SHUTDOWN_TIMEOUT", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"),
            help="How long a rank that is told to end may take before it is killed [30].",
        ),
        Flag(
            "--signals-to-handle", **section, default="SIGTERM,SIGINT,SIGHUP,SIGQUIT", metavar="NAME,...",
            envvar=("PET_SIGNALS_TO_HANDLE", "TORCHELASTIC_SIGNALS_TO_HANDLE"), parse=values.signals,
            help="Signals that are handed to the ranks and end them [SIGTERM,SIGINT,SIGHUP,SIGQUIT].",
        ),
        Flag(
            "--signals-to-forward", **section, default="SIGUSR1,SIGUSR2", metavar="NAME,...", envvar=(),
            parse=values.signals, help="Signals that are handed to the ranks, and no more [SIGUSR1,SIGUSR2].",
        ),
    ]  # fmt: skip


def _placement() -> list[Flag]:
    section: Any = {"section": "Placement"}
    return [
        Flag(
            "--numa-binding", **section, envvar=(), type=Choice([mode.value for mode in AffinityMode]),
            help="Bind each rank to the CPUs near its GPU.",
        ),
        Flag(
            "--virtual-local-rank", **section, is_flag=True,
            help="Each rank sees one GPU only, as LOCAL_RANK 0.",
        ),
    ]  # fmt: skip


def _meeting_point() -> list[Flag]:
    section: Any = {"section": "Where the ranks meet"}
    return [
        Flag("--standalone", **section, is_flag=True, help="A free port and a new run id, whatever else is given."),
        Flag("--master-addr", **section, metavar="HOST", help="MASTER_ADDR [127.0.0.1]."),
        Flag("--master-port", **section, metavar="PORT", parse=values.port, help="MASTER_PORT [a free one]."),
        Flag("--local-addr", **section, metavar="HOST", help="MASTER_ADDR, where no port is given."),
        Flag("--rdzv-id", **section, metavar="ID", help="TORCHELASTIC_RUN_ID [a random one]."),
        Flag("--nnodes", **section, default="1", metavar="1", parse=values.one_node, expose_value=False,
             help="Number of machines: this one."),
    ]  # fmt: skip


def _only_for_several_nodes() -> list[Flag]:
    """Not in the help. Refused, unless the value means one machine; two of them have no meaning here at all."""
    return [
        Flag("--node-rank", default="0", parse=values.first_node, expose_value=False),
        Flag("--rdzv-backend", default="static", parse=values.local_backend),
        Flag("--rdzv-endpoint", default="", parse=values.endpoint),
        Flag("--rdzv-conf", default="", parse=values.nothing_to_configure, expose_value=False),
        Flag("--event-log-handler", default="null", parse=values.no_event_log, expose_value=False),
        Flag("--monitor-interval", default="0.1", parse=values.seconds, expose_value=False),  # exits are events
    ]
