"""The dashboard in a Quart application: the example of the documentation, asked for everything, on two servers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.helpers.apps import python_path
from tests.helpers.pages import ROOT, blocks_of
from tests.helpers.ranks import is_alive, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aelastic.testing import Ranks

PAGE = ROOT / "docs" / "web.md"
SERVERS = {
    "hypercorn": ("--bind", "127.0.0.1:{}"),
    "uvicorn": ("--port", "{}"),
}


@contextmanager
def serving(server: str, directory: Path, port: int) -> Iterator[str]:
    """The address of the service; what it trains takes ten minutes."""
    (example,) = (block.text for block in blocks_of("", PAGE.read_text()) if block.file == "quart_service.py")
    assert '"0.5"' in example
    (directory / "quart_service.py").write_text(example.replace('"0.5"', '"600"'))
    options = [option.format(port) for option in SERVERS[server]]
    command = [sys.executable, "-m", server, *options, "quart_service:app"]
    with subprocess.Popen(command, cwd=directory, env={**os.environ, "PYTHONPATH": python_path()}) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}/ranks/readyz")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert httpx.get(url).status_code == 200
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.02)
        else:
            return


@pytest.mark.parametrize("server", SERVERS)
def test_both_answer_and_the_ranks_end_with_the_service(server: str, ranks: Ranks, tmp_path: Path) -> None:
    with serving(server, tmp_path, ranks.port()) as url, httpx.Client(base_url=url) as client:
        assert client.get("/").json() == {"0": "running"}
        assert "The requested URL was not found on the server" in client.get("/nothing").text  # Quart's own words
        moved = client.get("/ranks")
        assert (moved.status_code, moved.headers["location"]) == (307, "ranks/")
        assert "<title>" in client.get("/ranks/").text
        assert client.get("/ranks/page.js").headers["content-type"].startswith("text/javascript")
        assert client.get("/ranks/nothing").json() == {"detail": "Not Found"}
        (rank,) = client.get("/ranks/api/runs/workers").json()["ranks"]
        assert is_alive(rank["pid"])
        with client.stream("GET", "/ranks/api/runs/workers/stream") as stream:
            assert next(stream.iter_lines()) == "event: hello"
    assert not is_alive(rank["pid"])


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_that_goes_away_stops_the_ranks_it_waits_for(server: str, ranks: Ranks, tmp_path: Path) -> None:
    with serving(server, tmp_path, ranks.port()) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/train", timeout=1)
        (rank,) = httpx.get(f"{url}/ranks/api/runs/train").json()["ranks"]
        assert wait_until_gone(rank["pid"], 20)
        assert httpx.get(f"{url}/").json() == {"0": "running"}
