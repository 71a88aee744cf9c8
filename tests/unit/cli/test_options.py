"""The options of ``aelastic run``, against those of torchrun where it is installed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import click
import pytest

from aelastic.cli.app import run
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.cli.settings import Settings

    Parsed = Callable[..., Settings]


def test_defaults(parsed: Parsed) -> None:
    settings = parsed("train.py", "--epochs", "3", "-m")
    assert (settings.program, settings.args) == ("train.py", ("--epochs", "3", "-m"))
    assert (settings.nproc_per_node, settings.max_restarts, settings.role) == (1, 0, "default")
    assert (settings.redirects, settings.tee, settings.local_ranks_filter) == (Std.NONE, Std.NONE, None)
    assert (settings.shutdown_timeout, settings.start_method) == (30.0, "spawn")
    assert settings.signals_to_handle == (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    assert settings.signals_to_forward == (signal.SIGUSR1, signal.SIGUSR2)
    assert settings.master_port is None
    assert settings.rdzv_endpoint is None
    assert not settings.keeps_logs


@pytest.mark.parametrize("name", ["--nproc-per-node", "--nproc_per_node", "--nproc_per-node", "--nproc", "--np"])
def test_dashes_underscores_and_beginnings(parsed: Parsed, name: str) -> None:
    assert parsed(name, "3", "x.py").nproc_per_node == 3
    assert parsed(f"{name}=3", "x.py").nproc_per_node == 3


def test_a_beginning_of_several_names_is_refused(parsed: Parsed) -> None:
    with pytest.raises(click.UsageError, match="--n"):
        parsed("--n", "1", "x.py")


def test_a_choice_is_not_taken_for_the_beginning_of_an_option(parsed: Parsed) -> None:
    assert parsed("--numa-binding", "node", "x.py").numa_binding == "node"  # of --node-rank
    assert parsed("--numa_binding", "core-complex", "x.py").numa_binding == "core-complex"


@pytest.mark.parametrize("args", [("-t3",), ("-t", "3"), ("--tee=3",), ("-t=3",)])
def test_short_options(parsed: Parsed, args: tuple[str, ...]) -> None:
    assert parsed(*args, "x.py").tee is Std.ALL


@pytest.mark.parametrize(
    ("variable", "value", "field", "meant"),
    [
        ("PET_NPROC_PER_NODE", "4", "nproc_per_node", 4),
        ("PET_MAX_RESTARTS", "2", "max_restarts", 2),
        ("PET_ROLE", "trainer", "role", "trainer"),
        ("PET_TEE", "0:1", "tee", {0: Std.OUT}),
        ("PET_REDIRECTS", "3", "redirects", Std.ALL),
        ("PET_LOG_DIR", "/logs", "log_dir", "/logs"),
        ("PET_LOCAL_RANKS_FILTER", "1", "local_ranks_filter", frozenset({1})),
        ("PET_DUPLICATE_STDERR_FILTERS", "a,b", "duplicate_stderr_filters", ("a", "b")),
        ("PET_SIGNALS_TO_HANDLE", "SIGTERM", "signals_to_handle", (signal.SIGTERM,)),
        ("TORCHELASTIC_SIGNALS_TO_HANDLE", "SIGHUP", "signals_to_handle", (signal.SIGHUP,)),
        ("PET_SHUTDOWN_TIMEOUT", "5", "shutdown_timeout", 5.0),
        ("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "7", "shutdown_timeout", 7.0),
        ("PET_MASTER_PORT", "29501", "master_port", 29501),
        ("PET_START_METHOD", "fork", "start_method", "fork"),
        ("PET_STANDALONE", "1", "standalone", True),
        ("PET_STANDALONE", "2", "standalone", True),
        ("PET_STANDALONE", "0", "standalone", False),
        ("PET_MODULE", "true", "module", True),
        ("PET_NNODES", "1:1", "nproc_per_node", 1),
    ],
)
def test_a_default_from_the_environment(
    parsed: Parsed, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, meant: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert getattr(parsed("x.py"), field) == meant


def test_the_command_line_wins_over_the_environment(parsed: Parsed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PET_NPROC_PER_NODE", "nonsense")
    assert parsed("--nproc-per-node", "2", "x.py").nproc_per_node == 2


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PET_NPROC_PER_NODE", "many", "PET_NPROC_PER_NODE: 'many' is neither"),
        ("PET_TEE", "7", "PET_TEE: '7' is neither"),
        ("PET_STANDALONE", "maybe", "PET_STANDALONE"),
        ("PET_START_METHOD", "thread", "PET_START_METHOD"),
        ("PET_NNODES", "2", "PET_NNODES: '2': aelastic run starts the ranks of one machine"),
        ("PET_NODE_RANK", "1", "PET_NODE_RANK"),
        ("PET_RDZV_BACKEND", "etcd", "PET_RDZV_BACKEND"),
        ("PET_RDZV_CONF", "timeout=1", "PET_RDZV_CONF"),
        ("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "soon", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    parsed: Parsed, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(click.BadParameter) as mistake:
        parsed("x.py")
    assert says in mistake.value.format_message()


@pytest.mark.parametrize("variable", ["PET_LOGS_SPECS", "PET_NUMA_BINDING", "PET_JSON", "PET_PLAIN"])
def test_what_torchrun_has_no_variable_for(parsed: Parsed, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    before = parsed("x.py")
    monkeypatch.setenv(variable, "1")
    assert parsed("x.py") == before


@pytest.mark.parametrize(
    "args", [("--nnodes=1:4",), ("--node-rank", "1"), ("--rdzv-backend=etcd",), ("--rdzv-conf", "a=b")]
)
def test_several_nodes_are_refused_with_a_sentence(parsed: Parsed, args: tuple[str, ...]) -> None:
    with pytest.raises(click.BadParameter, match="aelastic run starts the ranks of one"):
        parsed(*args, "x.py")


def test_what_means_one_node_is_taken(parsed: Parsed) -> None:
    one = ("--nnodes=1:1", "--node-rank=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--rdzv-conf=")
    settings = parsed(*one, "--monitor-interval=0.5", "--event-log-handler=null", "x.py")
    assert (settings.rdzv_backend, settings.rdzv_endpoint) == ("c10d", ("localhost", None))


def test_the_help_names_every_option_once() -> None:
    shown = run.get_help(click.Context(run, info_name="run"))
    for param in run.params:
        if isinstance(param, click.Option):
            name = max(param.opts, key=len)
            assert shown.count(f"{name} ") + shown.count(f"{name}\n") >= (not param.hidden), name
            assert not param.hidden or name not in shown


def test_every_option_of_torchrun_is_known(torch_run: Any, parsed: Parsed) -> None:
    for action in torch_run.get_args_parser()._actions:
        for name in action.option_strings:
            if name in ("-h", "--help"):
                continue
            try:
                parsed(name, *(["nonsense"] if action.nargs is None else []), "x.py")
            except click.NoSuchOption:
                pytest.fail(f"{name} is not known")
            except click.UsageError as refused:
                assert isinstance(refused, click.BadParameter)  # noqa: PT017 - any other is a failure as well


def test_every_variable_of_torchrun_is_known(torch_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name for param in run.params if isinstance(param, click.Option) for name in param.envvar or ()}
    for action in torch_run.get_args_parser()._actions:
        has_variable = type(action).__name__ in ("env", "check_env")
        assert (f"PET_{action.dest.upper()}" in ours) == has_variable, action.dest
