"""Many runs in a row. What they leave of processes, threads, descriptors and tasks is looked at after every test."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.helpers.ranks import shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


async def test_two_hundred_starts_and_closes_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for number in range(200):
        async with shell("exec sleep 600" if number % 2 else "exit 0", "exit 0") as ctx:
            if number % 4 == 0:
                await ctx.wait()
    assert os.listdir(tmp_path) == []
