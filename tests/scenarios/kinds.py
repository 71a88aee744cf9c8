"""Ranks of either workload: what a rank does is written once, as a function, and run by a program or as a function."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

import aelastic
from tests.helpers.apps import has_ended, python_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from aelastic.conduct.context import Starting

    AnyStarting: TypeAlias = Starting[aelastic.SubprocessContext] | Starting[aelastic.MultiprocessContext]

Kind: TypeAlias = Literal["program", "spawn", "fork", "forkserver"]
Method: TypeAlias = Literal["spawn", "fork", "forkserver"]

METHODS: tuple[Method, ...] = ("spawn", "fork", "forkserver")
KINDS: tuple[Kind, ...] = ("program", *METHODS)

each_kind = pytest.mark.parametrize("kind", KINDS)
each_method = pytest.mark.parametrize("method", METHODS)


def ranks(kind: Kind, vice: Callable[..., Any], *args: tuple[Any, ...], **options: Any) -> AnyStarting:
    """One rank per tuple of arguments, which does ``vice``; ``options`` are those of ``start_processes``."""
    envs = options.pop("envs", {rank: {} for rank in range(len(args))})
    if kind != "program":
        return aelastic.start_processes("w", vice, dict(enumerate(args)), envs, start_method=kind, **options)
    return aelastic.start_processes(
        "w",
        sys.executable,
        {rank: ("-c", _call(vice, one)) for rank, one in enumerate(args)},
        {rank: {"PYTHONPATH": python_path(), **env} for rank, env in envs.items()},
        **options,
    )


async def ended(*pids: int) -> bool:
    """Whether the processes end, before long. The loop turns meanwhile."""
    return all([await asyncio.to_thread(has_ended, pid) for pid in pids])


def in_full(quick: int, full: int) -> int:
    """How often to try: ``full`` where ``AELASTIC_TEST_FULL`` is set, which takes minutes."""
    return full if os.environ.get("AELASTIC_TEST_FULL") else quick


def _call(vice: Callable[..., Any], args: tuple[Any, ...]) -> str:
    plain = json.loads(json.dumps(args))  # signals are numbers, paths must be strings
    return f"from {vice.__module__} import {vice.__name__}; {vice.__name__}(*{plain!r})"
