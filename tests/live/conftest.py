"""Tests with real processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(autouse=True)
async def no_tasks_left(no_leaks: None) -> AsyncIterator[None]:
    """Fail a test that leaves a task behind in its loop."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
