"""What torchrun promises to the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from aelastic.cli.environment import Contract, MeetingPoint, meeting_point
from aelastic.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.cli.settings import Settings

    Parsed = Callable[..., Settings]

POINT = MeetingPoint("job", "127.0.0.1", 29500)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("--master-port=29511",), MeetingPoint("none", "127.0.0.1", 29511)),
        (("--master-addr=host", "--master-port=1", "--rdzv-id=x"), MeetingPoint("x", "host", 1)),
        (("--rdzv-endpoint=localhost:29413",), MeetingPoint("none", "localhost", 29413)),
        (("--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"), MeetingPoint("none", "127.0.0.1", None)),
        (("--rdzv-backend=c10d", "--local-addr=127.0.0.3", "--rdzv-id=y"), MeetingPoint("y", "127.0.0.3", None)),
        (("--rdzv-id=z",), MeetingPoint("z", "127.0.0.1", None)),
        (("--rdzv-id=z", "--master-addr=host"), MeetingPoint("z", "host", None)),
        (("--rdzv-id=z", "--master-addr=host", "--local-addr=here"), MeetingPoint("z", "here", None)),
    ],
)
def test_where_the_ranks_meet(parsed: Parsed, args: tuple[str, ...], expected: MeetingPoint) -> None:
    assert meeting_point(parsed(*args, "x.py")) == expected


@pytest.mark.parametrize("args", [(), ("--standalone",), ("--standalone", "--rdzv-id=x", "--master-port=29511")])
def test_standalone_makes_everything_new(parsed: Parsed, args: tuple[str, ...]) -> None:
    one, other = (meeting_point(parsed(*args, "x.py")) for _ in range(2))
    assert one.run_id != other.run_id
    assert UUID(one.run_id).version == 4
    assert (one.address, one.port) == ("127.0.0.1", None)


def test_the_environment_of_each_rank(parsed: Parsed) -> None:
    envs = Contract(parsed("--role=job", "--max-restarts=3", "x.py"), 2, POINT, {}).envs(restart_count=1)
    shared = {
        "LOCAL_WORLD_SIZE": "2",
        "WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "ROLE_NAME": "job",
        "ROLE_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
        "OMP_NUM_THREADS": "1",
        "TORCHELASTIC_RUN_ID": "job",
        "TORCHELASTIC_RESTART_COUNT": "1",
        "TORCHELASTIC_MAX_RESTARTS": "3",
        "TORCHELASTIC_USE_AGENT_STORE": "False",
        "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT,SIGHUP,SIGQUIT",
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",
    }
    for rank in range(2):
        text = str(rank)
        assert envs[rank] == {**shared, "RANK": text, "LOCAL_RANK": text, "ROLE_RANK": text}


@pytest.mark.parametrize(
    ("nproc", "inherited", "limited"), [(2, {}, True), (1, {}, False), (2, {"OMP_NUM_THREADS": "8"}, False)]
)
def test_threads_are_limited_when_nobody_has_said(
    parsed: Parsed, nproc: int, inherited: dict[str, str], limited: bool
) -> None:
    contract = Contract(parsed("x.py"), nproc, POINT, inherited)
    assert contract.limits_threads == limited
    assert ("OMP_NUM_THREADS" in contract.envs()[0]) == limited


def test_what_is_set_already_counts(parsed: Parsed) -> None:
    inherited = {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "3"}
    assert Contract(parsed("x.py"), 1, POINT, inherited).envs()[0]["TORCH_NCCL_ASYNC_ERROR_HANDLING"] == "3"


def test_a_free_port_is_the_same_for_all_ranks(parsed: Parsed) -> None:
    envs = Contract(parsed("x.py"), 3, MeetingPoint("job", "127.0.0.1", None), {}).envs()
    (port,) = {env["MASTER_PORT"] for env in envs.values()}
    assert 0 < int(port) < 65536


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, ["0", "1"]), ("3,5", ["3", "5"]), (" 3 , GPU-8932f937 ,1", ["3", "GPU-8932f937"])]
)
def test_a_virtual_local_rank(parsed: Parsed, visible: str | None, gpus: list[str]) -> None:
    inherited = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    envs = Contract(parsed("--virtual-local-rank", "x.py"), 2, POINT, inherited).envs()
    assert [env["LOCAL_RANK"] for env in envs.values()] == ["0", "0"]
    assert [env["RANK"] for env in envs.values()] == ["0", "1"]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in envs.values()] == gpus


@pytest.mark.parametrize("visible", ["3", ""])
def test_a_virtual_local_rank_without_a_gpu(parsed: Parsed, visible: str) -> None:
    with pytest.raises(InvalidArgumentError, match="there is no GPU for rank"):
        Contract(parsed("--virtual-local-rank", "x.py"), 2, POINT, {"CUDA_VISIBLE_DEVICES": visible}).envs()


def test_the_local_rank_in_arguments(parsed: Parsed) -> None:
    args = Contract(parsed("x.py"), 2, POINT, {}).args(("--rank=${local_rank}", "$$", "$local_rank"))
    assert args == {0: ("--rank=0", "$$", "$local_rank"), 1: ("--rank=1", "$$", "$local_rank")}


def test_the_template_of_headers(parsed: Parsed) -> None:
    template = "[${role_name}:${rank}/${local_rank} ${unknown} $]"
    inherited = {"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": template}
    assert Contract(parsed("--role=job", "x.py"), 1, POINT, inherited).prefixes() == {0: "[job:0/0 ${unknown} $]"}
    assert Contract(parsed("x.py"), 1, POINT, {}).prefixes() is None
