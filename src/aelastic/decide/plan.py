"""From the arguments of ``start_processes`` to one record per rank. Pure; an error names the rank and the argument."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aelastic.errors.base import InvalidArgumentError, InvalidRanksError
from aelastic.std import Std


@dataclass(frozen=True, slots=True)
class RankPlan:
    """What one rank is to run: its arguments, what its environment adds, and the header of its lines.

    A program's arguments are texts, a function's are anything.
    """

    rank: int
    args: tuple[Any, ...]
    env: dict[str, str]
    prefix: str


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Where one stream of one rank goes.

    ``path`` is the log file; ``""`` is the console, and ``os.devnull`` nowhere. ``tee``: the lines are shown as well.
    """

    rank: int
    stream: Std
    path: str
    tee: bool

    @property
    def captured(self) -> bool:
        """aelastic reads this stream."""
        return self.path not in ("", os.devnull)


class Destinations(Protocol):
    """What a ``LogsSpecs`` of anybody's gives: torch's ``LogsDest`` or ours. Rank to path, ``""`` for none."""

    stdouts: dict[int, str]
    stderrs: dict[int, str]
    tee_stdouts: dict[int, str]
    tee_stderrs: dict[int, str]
    error_files: dict[int, str]
    filtered_stdout: str
    filtered_stderr: str


def plan_ranks(
    name: str,
    args: Mapping[int, Sequence[Any]],
    envs: Mapping[int, Mapping[str, str]],
    log_line_prefixes: Mapping[int, str] | None,
    *,
    program: bool = True,
) -> tuple[RankPlan, ...]:
    """One record per rank. ``program``: the arguments are for a program, which takes texts.

    Raises ``InvalidRanksError`` or ``InvalidArgumentError``.
    """
    if not args:
        raise InvalidRanksError("args: no ranks given; expected a mapping such as {0: ('--verbose',)}")
    nprocs = len(args)
    check_ranks("args", args, nprocs)
    check_ranks("envs", envs, nprocs)
    prefixes = log_line_prefixes or {}
    return tuple(
        RankPlan(
            rank,
            _arguments(rank, args[rank], program=program),
            check_env(rank, envs[rank]),
            _prefix(rank, prefixes.get(rank, f"[{name}{rank}]:")),
        )
        for rank in range(nprocs)
    )


def plan_streams(dest: Destinations, ranks: Sequence[int]) -> tuple[StreamPlan, ...]:
    """Both streams of ``ranks``, as a ``LogsSpecs`` wants them. Raises ``InvalidRanksError`` when it lacks a rank."""
    for what in ("stdouts", "stderrs", "error_files"):
        missing = set(ranks) - set(getattr(dest, what))
        if missing:
            raise InvalidRanksError(f"LogsDest.{what} lacks the ranks {sorted(missing)}")
    tables = ((Std.OUT, dest.stdouts, dest.tee_stdouts), (Std.ERR, dest.stderrs, dest.tee_stderrs))
    return tuple(
        _plan_stream(rank, stream, paths[rank], tees.get(rank, "")) for rank in ranks for stream, paths, tees in tables
    )


def check_ranks(what: str, by_rank: Mapping[int, object], nprocs: int) -> None:
    """Raise ``InvalidRanksError`` unless ``by_rank`` holds exactly the ranks 0 to ``nprocs`` - 1."""
    if not isinstance(by_rank, Mapping):
        raise InvalidArgumentError(f"{what}: expected a mapping such as {{0: ...}}, got {type(by_rank).__name__}")
    missing = sorted(set(range(nprocs)) - set(by_rank))
    extra = sorted(set(by_rank) - set(range(nprocs)), key=str)
    if missing or extra:
        raise InvalidRanksError(
            f"{what}: expected exactly the local ranks 0 to {nprocs - 1}; missing: {missing}, unexpected: {extra}"
        )


def check_env(rank: int, env: Mapping[str, str]) -> dict[str, str]:
    """A copy of ``env`` that a process can be given. Raises ``InvalidArgumentError``."""
    if not isinstance(env, Mapping):
        raise InvalidArgumentError(f"envs[{rank}]: expected a mapping of str to str, got {type(env).__name__}")
    for key, value in env.items():
        if not isinstance(key, str) or not key or "=" in key or "\0" in key:
            raise InvalidArgumentError(f"envs[{rank}]: {key!r} cannot be the name of an environment variable")
        if not isinstance(value, str):
            raise InvalidArgumentError(f"envs[{rank}][{key!r}]: expected a str, got {type(value).__name__}")
        _check_text(f"envs[{rank}] key {key!r}", key)
        _check_text(f"envs[{rank}][{key!r}]", value)
    return dict(env)


def _arguments(rank: int, args: Sequence[Any], *, program: bool) -> tuple[Any, ...]:
    if isinstance(args, str | bytes | bytearray) or not isinstance(args, Sequence):
        raise InvalidArgumentError(
            f"args[{rank}]: expected a tuple of arguments, got {type(args).__name__}; "
            f"for one argument write ({args!r},)"
        )
    if not program:
        return tuple(args)
    for index, arg in enumerate(args):
        if isinstance(arg, bytes | bytearray):
            raise InvalidArgumentError(f"args[{rank}][{index}]: expected text, got bytes; decode it with os.fsdecode")
        _check_text(f"args[{rank}][{index}]", str(arg))
    return tuple(map(str, args))


def _prefix(rank: int, prefix: str) -> str:
    if not isinstance(prefix, str):
        raise InvalidArgumentError(f"log_line_prefixes[{rank}]: expected a str, got {type(prefix).__name__}")
    return prefix


def _check_text(what: str, text: str) -> None:
    if "\0" in text:
        raise InvalidArgumentError(f"{what}: the text contains a NUL character")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{what}: the text cannot be encoded for the system ({error.reason})") from error


def _plan_stream(rank: int, stream: Std, path: str, tee_path: str) -> StreamPlan:
    # torch's specs name os.devnull as the tee of every rank when there is no log directory: nothing is teed then.
    tee = tee_path not in ("", os.devnull)
    return StreamPlan(rank, stream, tee_path if tee and path in ("", os.devnull) else path, tee)
