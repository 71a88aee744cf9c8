"""Small blocks for many files are written together; much is written at once; nobody pays for the error of another."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

import pytest

from aelastic.logs.batches import Batches, Entry, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO
    from pathlib import Path

pytestmark = pytest.mark.asyncio

LITTLE, MUCH = memoryview(b"line\n"), memoryview(b"x" * 20_000)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Callable[[], FileIO]]:
    made: list[FileIO] = []

    def make() -> FileIO:
        made.append(open(tmp_path / f"{len(made)}.log", "wb", buffering=0))  # noqa: SIM115 - closed below
        return made[-1]

    yield make
    for file in made:
        file.close()


class Goes:
    """Writes in a thread, and remembers how much went together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, entries: Sequence[Entry]) -> None:
        self.sizes.append(len(entries))
        await asyncio.to_thread(write_all, entries)


async def test_the_first_is_written_at_once_and_those_that_follow_together(files: Callable[[], FileIO]) -> None:
    goes = Goes()
    batches = Batches(goes)
    made = [files() for _ in range(20)]
    await batches.write(made[0], LITTLE)
    await asyncio.gather(*(batches.write(file, LITTLE) for file in made[1:]))
    assert goes.sizes == [1, 19]
    assert {os.path.getsize(file.name) for file in made} == {len(LITTLE)}


async def test_much_does_not_wait_and_takes_the_waiting_along(files: Callable[[], FileIO]) -> None:
    goes = Goes()
    batches = Batches(goes)
    await batches.write(files(), LITTLE)
    waiting = asyncio.ensure_future(batches.write(files(), LITTLE))
    await asyncio.sleep(0)
    entry = await batches.write(files(), MUCH)
    assert (entry.written, entry.error) == (len(MUCH), None)
    assert goes.sizes == [1, 2]
    assert (await waiting).written == len(LITTLE)


async def test_an_error_is_that_of_its_file_alone(files: Callable[[], FileIO]) -> None:
    batches = Batches(Goes())
    await batches.write(files(), LITTLE)
    with open("/dev/full", "wb", buffering=0) as full:
        entries = await asyncio.gather(batches.write(full, LITTLE), batches.write(files(), LITTLE))
    assert [entry.error and entry.error.errno for entry in entries] == [errno.ENOSPC, None]
    assert [entry.written for entry in entries] == [0, len(LITTLE)]


async def test_where_no_thread_is_to_be_had_nobody_waits_for_ever(files: Callable[[], FileIO]) -> None:
    async def never(_: Sequence[Entry]) -> None:
        raise RuntimeError("can't start new thread")

    batches = Batches(never)
    answers = await asyncio.gather(*(batches.write(files(), LITTLE) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError, Entry]
    assert isinstance(answers[2], Entry)
    assert answers[2].error is not None
