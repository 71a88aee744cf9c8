"""Ranks share listening sockets, as systemd hands them over."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from tests.helpers import functions
from tests.helpers.ranks import python, redirected
from tests.helpers.sockets import listening, port_of, several
from tests.helpers.supervisors import AT_ONCE, next_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.conduct.functions import StartMethod
    from aelastic.conduct.sockets import Sockets

pytestmark = pytest.mark.asyncio

BOUND = aelastic.NumaOptions(aelastic.AffinityMode.NODE, should_fall_back_if_binding_fails=True)

# What a program was started with. Looking at the directory of its descriptors takes one more.
TELLS = """
import json, os, socket
ports = {}
for number in sorted(map(int, os.listdir("/proc/self/fd")))[:-1]:
    if number > 2:
        with socket.socket(fileno=os.dup(number)) as one:
            ports[number] = one.getsockname()[1]
environ = {name: value for name, value in os.environ.items() if name.startswith("LISTEN_")}
print(json.dumps({"pid": os.getpid(), "ports": ports, "environ": environ}))
"""


async def told(sockets: Sockets, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    """What two ranks tell of themselves."""
    async with python(TELLS, TELLS, sockets=sockets, logs_specs=redirected(tmp_path), **options) as ctx:
        pids = ctx.pids()
        result = await ctx.wait()
    assert result is not None
    assert not result.is_failed(), Path(result.stderrs[0]).read_text()
    ranks = [json.loads(Path(path).read_text()) for path in result.stdouts.values()]
    assert [one["pid"] for one in ranks] == list(pids.values())
    return ranks


@pytest.mark.parametrize("options", [{}, {"numa_options": BOUND}, {"readiness": aelastic.Notify()}], ids=str)
@pytest.mark.parametrize("count", [1, 3])
async def test_every_rank_has_the_sockets_from_3_on(count: int, options: dict[str, Any], tmp_path: Path) -> None:
    with several(count) as sockets:
        for rank in await told(sockets, tmp_path, **options):
            assert rank["ports"] == {str(number): port_of(one) for number, one in enumerate(sockets, 3)}
            assert rank["environ"]["LISTEN_FDS"] == str(count)
            assert rank["environ"]["LISTEN_PID"] == str(rank["pid"])
            assert "LISTEN_FDNAMES" not in rank["environ"]
        assert all(one.fileno() > 2 for one in sockets)


async def test_sockets_have_names(tmp_path: Path) -> None:
    with several(2) as sockets:
        (rank, _) = await told({"http": sockets[1], "admin": sockets[0]}, tmp_path)
        assert rank["environ"]["LISTEN_FDNAMES"] == "http:admin"
        assert rank["ports"] == {"3": port_of(sockets[1]), "4": port_of(sockets[0])}


OPENS = """
import os, subprocess, sys
from aelastic import rank
ports = [one.getsockname()[1] for one in rank.sockets()]
assert ports == [one.getsockname()[1] for one in rank.sockets()], "they are new ones each time"
assert not any(one.get_inheritable() for one in rank.sockets())
child = "import os; from aelastic import rank; print(rank.sockets(), os.path.exists('/proc/self/fd/3'))"
print(ports, subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, close_fds=False).stdout)
"""


async def test_a_python_rank_asks_for_them(tmp_path: Path) -> None:
    with several(2) as sockets:
        async with python(OPENS, sockets=sockets, logs_specs=redirected(tmp_path)) as ctx:
            result = await ctx.wait()
        assert result is not None
        assert Path(result.stdouts[0]).read_text().strip() == f"{[port_of(one) for one in sockets]} [] False"


@pytest.mark.parametrize("order", ["as they are", "reversed", "high", "in the way"])
async def test_whatever_their_numbers_are_here(order: str, tmp_path: Path) -> None:
    with several(4) as sockets:
        if order == "reversed":
            sockets = sockets[::-1]
        if order == "high":
            high = os.dup2(sockets[0].fileno(), 900, inheritable=False)
            sockets[0].close()
            sockets[0] = socket.socket(fileno=high)
        if order == "in the way":  # the last becomes the number of the first
            sockets = [*sockets[1:], sockets[0]]
        with sockets[0]:
            for rank in await told(sockets, tmp_path):
                assert rank["ports"] == {str(number): port_of(one) for number, one in enumerate(sockets, 3)}


@pytest.mark.parametrize("options", [{}, {"numa_options": BOUND}], ids=str)
async def test_a_program_behind_a_stage_is_started_as_any_other(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    # Python ignores signals and sets LC_CTYPE: a shell shows what a program gets of that.
    script = "grep SigIgn /proc/self/status; env | grep ^LC_; ls /proc/self/fd | wc -l"
    with listening() as one:
        outputs = []
        for sockets, more in (((), {}), ([one], options)):
            async with aelastic.start_processes(
                "w",
                "/bin/sh",
                {0: ("-c", script)},
                {0: {}},
                redirected(tmp_path),
                sockets=sockets,
                **more,
            ) as ctx:
                result = await ctx.wait()
            assert result is not None
            *before, descriptors = Path(result.stdouts[0]).read_text().splitlines()
            outputs.append((before, int(descriptors)))
    assert outputs[1] == (outputs[0][0], outputs[0][1] + 1)


async def test_a_restarted_and_a_replaced_rank_have_the_same_socket(tmp_path: Path) -> None:
    script = """
import os, socket
one = socket.socket(fileno=3)
print("ready", flush=True)
while True:
    connection, _ = one.accept()
    with connection:
        connection.sendall(os.environ["TORCHELASTIC_RESTART_COUNT"].encode())
"""
    with listening() as one:
        async with aelastic.Supervisor(
            "w",
            sys.executable,
            {0: ("-c", script)},
            {0: {}},
            redirected(tmp_path),
            strategy="one_for_one",
            restart=AT_ONCE,
            readiness=aelastic.LogProbe("ready"),
            sockets={"http": one},
        ) as supervisor:
            assert await ask(port_of(one)) == b"0"
            supervisor.send_signal(9)
            await next_event(supervisor.events(), aelastic.RankExited, attempt=0)
            assert await ask(port_of(one)) == b"1"  # it has waited for the next attempt
            await supervisor.replace(0)
            assert await ask(port_of(one)) == b"2"


async def ask(port: int) -> bytes:
    """Connect, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_what_the_application_was_started_with_is_not_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LISTEN_FDS", "1"), ("LISTEN_PID", str(os.getpid())), ("LISTEN_FDNAMES", "mine")):
        monkeypatch.setenv(name, value)
    assert [rank["environ"] for rank in await told((), tmp_path)] == [{}, {}]


async def test_a_rank_cannot_be_told_of_other_sockets(tmp_path: Path) -> None:
    with listening() as one, pytest.raises(aelastic.InvalidArgumentError, match=r"envs\[1\] sets LISTEN_FDS"):
        await python("", "", envs={0: {}, 1: {"LISTEN_FDS": "2"}}, sockets=[one])


async def test_a_socket_that_was_closed_since_starts_nothing() -> None:
    one = listening()
    starting = python("", sockets=[one])
    one.close()
    with pytest.raises(OSError, match=r"rank 0: .*sockets\[0\] is closed"):
        await starting


@pytest.mark.any_loop
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda one: one, "sockets: expected a list of sockets"),
        (lambda one: 3, "sockets: expected a list of sockets"),
        (lambda one: "http", "sockets: expected a list of sockets"),
        (lambda one: [one.fileno()], r"sockets\[0\]: expected an open socket.socket"),
        (lambda one: [one, one], r"sockets\[1\]: the same socket twice"),
        (lambda one: {"a:b": one}, "sockets: a name is printable ASCII without a colon"),
        (lambda one: {"ü": one}, "sockets: a name is printable ASCII"),
        (lambda one: {"": one}, "sockets: a name has 1 to 255 characters"),
        (lambda one: {1: one}, "sockets: a name is printable ASCII"),
    ],
)
async def test_what_are_no_sockets(wrong: Callable[[socket.socket], Any], message: str) -> None:
    with listening() as one, pytest.raises(aelastic.InvalidArgumentError, match=message):
        python("", sockets=wrong(one))


@pytest.mark.any_loop
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
async def test_functions_have_none(method: StartMethod) -> None:
    with listening() as one, pytest.raises(aelastic.InvalidArgumentError, match="sockets: only a program"):
        aelastic.start_processes("f", functions.cpus, {0: ()}, {0: {}}, start_method=method, sockets=[one])
