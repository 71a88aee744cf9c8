"""Ranks that run a Python function."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import traceback
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal

from aelastic.conduct.workload import Delivered, Undelivered
from aelastic.decide.descriptors import Need
from aelastic.logs.pipe import Pipe, open_ends
from aelastic.process.forked import Sent, fork, fork_by_server, fork_need, server_need, set_preload, warn_of_threads
from aelastic.process.launch import Command, launch, launch_need
from aelastic.process.payload import Packed, Payload, new_token, pack
from aelastic.process.receiving import Blocks
from aelastic.process.sending import SendingPipe
from aelastic.worker.bootstrap import command_line
from aelastic.worker.forked import Entry, enter_and_run, receive_and_enter, run_packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aelastic.conduct.workload import Outcome, Surroundings, Tools
    from aelastic.process.watch import OnExit, Process

StartMethod = Literal["spawn", "fork", "forkserver"]

_SMALLEST_PIPE = 4096  # bytes that any pipe takes at once


class _Values:
    """What comes back from the ranks, each through a pipe of its own."""

    def __init__(self) -> None:
        self._pipes: dict[int, Pipe] = {}
        self._blocks: dict[int, Blocks] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def open(self, rank: int, token: bytes) -> int:
        """Expect a value that ends with ``token``; the descriptor to write it to."""
        self._pipes[rank], self._blocks[rank] = Pipe(len(self._pipes) + 1), Blocks(token)
        return self._pipes[rank].write_end

    def begin(self, rank: int, tools: Tools) -> None:
        """The rank has its descriptor."""
        self._pipes[rank].close_write_end()
        self._tasks[rank] = tools.spawn(self._receive(self._pipes[rank], self._blocks[rank]))

    async def take(self, rank: int) -> Blocks:
        """The rank has ended: what it has sent."""
        self._pipes[rank].end_soon()  # all it wrote is in the pipe; what it has started may hold it open
        await asyncio.wait({self._tasks[rank]})
        return self._blocks.pop(rank)

    @staticmethod
    def need() -> Need:
        """The descriptors of one value."""
        return Need(launching=2, running=1)

    def close(self) -> None:
        """Close what is open, and expect nothing more."""
        for rank, pipe in self._pipes.items():
            if rank in self._tasks:
                pipe.end_soon()
            else:
                pipe.close()

    @staticmethod
    async def _receive(pipe: Pipe, blocks: Blocks) -> None:
        try:
            while not blocks.complete and (block := await pipe.read()):
                blocks.add(block)
                await asyncio.sleep(0)  # a rank that sends as fast as it can leaves turns to others
        finally:
            pipe.close()


class FunctionWorkload:
    """Every rank runs ``function`` with its own arguments; subclasses know how its process is made."""

    delivers = True

    def __init__(self, name: str, function: Callable[..., Any], args: Mapping[int, Sequence[Any]]) -> None:
        self._name = name
        self._function = function
        self._args = args
        self._values = _Values()

    async def outcome(self, rank: int, tools: Tools) -> Outcome:
        """The value, unpickled off the loop."""
        blocks = await self._values.take(rank)
        if not blocks.complete:
            return Undelivered("ended without delivering its value")
        return await asyncio.get_running_loop().run_in_executor(tools.executor, _load, blocks)

    def close(self) -> None:
        """Close what is open: the pipes of ranks that were never started."""
        self._values.close()


class SpawnWorkload(FunctionWorkload):
    """A fresh interpreter per rank, which receives the function through a pipe."""

    def __init__(self, name: str, function: Callable[..., Any], args: Mapping[int, Sequence[Any]]) -> None:
        super().__init__(name, function, args)
        self._payloads: dict[int, Payload] = {}
        self._sending: list[SendingPipe] = []

    def check(self, envs: Mapping[int, dict[str, str]]) -> None:
        """Pack what every rank will receive."""
        self._payloads = {rank: pack(rank, self._name, self._function, args) for rank, args in self._args.items()}

    def descriptors(self, rank: int) -> Need:
        """Those of its launch, its value, and its payload, which a slow rank takes a while to read."""
        at_once = sum(map(len, self._payloads[rank].parts)) <= _SMALLEST_PIPE
        return launch_need() + self._values.need() + Need(launching=2, running=0 if at_once else 1)

    async def launch(self, rank: int, surroundings: Surroundings, on_exit: OnExit, tools: Tools) -> Process:
        """Start the interpreter; the payload follows while it does."""
        payload = self._payloads.pop(rank)
        value_end, sending = self._values.open(rank, payload.token), SendingPipe()
        self._sending.append(sending)
        ends = sending.read_end, value_end
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        command = Command(
            (sys.executable, *flags, *command_line(*ends, surroundings.cpus)),
            surroundings.env,
            surroundings.stdout,
            surroundings.stderr,
            inherit=(*ends, *payload.descriptors),
        )
        process = await launch(command, on_exit, tools.clock)
        sending.close_read_end()
        tools.spawn(sending.send(payload.parts))
        self._values.begin(rank, tools)
        return process

    def close(self) -> None:
        """Close what is open."""
        super().close()
        for sending in self._sending:
            sending.close()


class ForkWorkload(FunctionWorkload):
    """A fork of this process per rank: nothing is pickled, and nothing is fresh."""

    def check(self, envs: Mapping[int, dict[str, str]]) -> None:
        """There is nothing that can be known beforehand."""

    def descriptors(self, rank: int) -> Need:
        """Those of its fork, its entry and its value."""
        return fork_need() + _entry_need() + self._values.need()

    async def launch(self, rank: int, surroundings: Surroundings, on_exit: OnExit, tools: Tools) -> Process:
        """Fork. The rank closes every pipe of ours but its own."""
        warn_of_threads()
        token = new_token()
        value_end = self._values.open(rank, token)
        ours = tuple(end for end in open_ends() if end != value_end)
        with _entry(rank, surroundings, value_end, token, tools, to_server=False) as entry:
            args = (replace(entry, close=ours), self._function, self._args[rank])
            process = fork(enter_and_run, args, on_exit, tools.clock)
        self._values.begin(rank, tools)
        return process


class ForkserverWorkload(FunctionWorkload):
    """A fork of multiprocessing's fork server per rank; ``preload`` names the modules that it imports once."""

    def __init__(
        self, name: str, function: Callable[..., Any], args: Mapping[int, Sequence[Any]], preload: Sequence[str]
    ) -> None:
        super().__init__(name, function, args)
        self._preload = preload

    def check(self, envs: Mapping[int, dict[str, str]]) -> None:
        """Pack what every rank will receive, to see that it can be."""
        for rank, args in self._args.items():
            pack(rank, self._name, self._function, args)
        set_preload(self._preload)

    def descriptors(self, rank: int) -> Need:
        """Those of its fork, its entry and its value."""
        return server_need() + _entry_need() + self._values.need()

    async def launch(self, rank: int, surroundings: Surroundings, on_exit: OnExit, tools: Tools) -> Process:
        """Ask the fork server."""
        token = new_token()
        value_end = self._values.open(rank, token)
        with _entry(rank, surroundings, value_end, token, tools, to_server=True) as entry:
            args = (_sent(entry), Packed(self._function, self._args[rank]))
            process = await fork_by_server(run_packed, args, on_exit, tools.clock, tools.executor)
        self._values.begin(rank, tools)
        return process


@contextlib.contextmanager
def _entry(
    rank: int, surroundings: Surroundings, value_end: int, token: bytes, tools: Tools, *, to_server: bool
) -> Iterator[Entry]:
    """What a fork needs to become ``rank``; what is lent to it is closed here afterwards."""
    with tools.containment.guardian_lent(to_server=to_server) as guardian_end:
        yield Entry(
            surroundings.env,
            surroundings.stdout,
            surroundings.stderr,
            value_end,
            token,
            cpus=surroundings.cpus,
            guardian_end=guardian_end,
            members_file=tools.containment.members_file(rank),
        )


def _entry_need() -> Need:
    """The descriptor of ``_entry``: the guardian's, as long as the rank is launched."""
    return Need(launching=1, running=0)


def _sent(entry: Entry) -> Sent:
    """``entry`` for the fork server, its descriptors sent along."""
    values = {one.name: getattr(entry, one.name) for one in fields(entry)}
    descriptors = {name: values[name] for name in ("stdout", "stderr", "value_end", "guardian_end")}
    sent = {name: number for name, number in descriptors.items() if number is not None and number >= 0}
    return Sent(receive_and_enter, {name: value for name, value in values.items() if name not in sent}, sent)


def _load(blocks: Blocks) -> Outcome:
    try:
        return Delivered(blocks.load())
    except Exception as error:  # noqa: BLE001 - unpickling runs the user's code
        return Undelivered(f"its value could not be unpickled: {error!r}", traceback.format_exc())
