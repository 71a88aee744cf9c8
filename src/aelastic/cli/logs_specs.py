"""The ``LogsSpecs`` of a run: ours, or one that a package offers by an entry point."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from aelastic.errors import InvalidArgumentError
from aelastic.logs.specs import DefaultLogsSpecs, LogsSpecs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aelastic.cli.settings import Settings
    from aelastic.std import Std

GROUPS = ("aelastic.logs_specs", "torchrun.logs_specs")  # ours first: torch registers its own as "default"
_TORCHS = "torch.distributed.elastic.multiprocessing.api"


def make_logs_specs(settings: Settings, tee: Std | Mapping[int, Std]) -> LogsSpecs:
    """The specs that ``settings`` name, with ``tee`` in place of theirs.

    Raises ``InvalidArgumentError`` when there is no such class, and whatever the class raises.
    """
    made = DefaultLogsSpecs if settings.logs_specs is None else _load(settings.logs_specs)
    ranks = settings.local_ranks_filter
    redirects, tee = (_as_known_to(made, streams) for streams in (settings.redirects, tee))
    filter_ = None if ranks is None else set(ranks)
    return made(log_dir=settings.log_dir, redirects=redirects, tee=tee, local_ranks_filter=filter_)


def _load(name: str) -> type[LogsSpecs]:
    from importlib import metadata  # 14 ms

    known: list[str] = []
    for group in GROUPS:
        for entry in metadata.entry_points(group=group):
            known.append(entry.name)
            if entry.name == name:
                return cast("type[LogsSpecs]", entry.load())
    raise InvalidArgumentError(
        f"--logs-specs: no package offers {name!r} in the entry points {' or '.join(GROUPS)}; "
        f"there is {', '.join(sorted(set(known))) or 'none at all'}"
    )


def _as_known_to(specs: type[LogsSpecs], streams: Std | Mapping[int, Std]) -> Any:
    """``streams`` in torch's own enumeration for a class that derives from torch's, which tells it by its type."""
    torchs = sys.modules.get(_TORCHS)
    if torchs is None or not issubclass(specs, torchs.LogsSpecs):
        return streams
    if isinstance(streams, int):
        return torchs.Std(int(streams))
    return {rank: torchs.Std(int(stream)) for rank, stream in streams.items()}
