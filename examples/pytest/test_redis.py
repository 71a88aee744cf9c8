"""A real Redis for tests: one server for all of them, and one that dies in the middle of a test.

pip install aelastic pytest pytest-asyncio redis
pytest examples/pytest
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

import aelastic

if TYPE_CHECKING:
    from pathlib import Path

    from aelastic.testing import Ranks, Services

SERVER = shutil.which("redis-server")
pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(SERVER is None, reason="there is no redis-server here (Debian: apt-get install redis-server)"),
]


def arguments(port: int, directory: Path) -> tuple[str, ...]:
    """A server on this machine alone, which logs to standard output."""
    return ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--appendonly", "yes", "--save", "")


@pytest.fixture(scope="session")
def redis_port(services: Services, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Started when the first test asks for it, stopped when the session ends."""
    port = services.port()
    services.start(
        "redis",
        str(SERVER),
        args={0: arguments(port, tmp_path_factory.mktemp("redis"))},
        readiness=aelastic.TcpProbe(port),  # the server's own port: nobody else's is taken for it
    )
    return port


@pytest.mark.parametrize("number", range(3))
async def test_tests_share_a_server(redis_port: int, number: int) -> None:
    async with redis.asyncio.Redis(port=redis_port, decode_responses=True) as client:
        assert await client.set(f"key-{number}", "value")
        assert await client.get(f"key-{number}") == "value"


async def test_what_was_written_survives_the_server(ranks: Ranks, tmp_path: Path) -> None:
    port = ranks.port()
    server = await ranks.supervise(
        "redis",
        str(SERVER),
        args={0: arguments(port, tmp_path)},
        strategy="one_for_one",
        restart=aelastic.RestartPolicy(max_restarts=1, backoff=0),
        readiness=aelastic.TcpProbe(port),
    )
    await ranks.line(server, "Ready to accept connections")
    async with redis.asyncio.Redis(port=port, decode_responses=True) as client:
        assert await client.set("key", "value")
        await ranks.kill(server, 0)
        async for event in server.events():  # from the first one on
            if isinstance(event, aelastic.RankReady) and event.attempt == 1:
                break
        assert await client.get("key") == "value"
