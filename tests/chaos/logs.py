"""Whether what the ranks wrote is where it belongs, to the byte."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from aelastic import LogLine, Std
from tests.chaos.content import NEEDLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.deeds import Deeds
    from tests.chaos.plan import RankPlan
    from tests.chaos.stage import Stage

_STREAMS = {Std.OUT: (1, "stdout"), Std.ERR: (2, "stderr")}
_LAST_WORDS = ("raise", "record", "unpicklable", "signal")  # a traceback, the fault handler
_CHILDS_LINE = re.compile(rb"child (\d+\.\d+) (\d+)\n")


def judge_logs(stage: Stage, deeds: Deeds, temporary: Path, console: bytes | None) -> list[str]:
    """What is wrong. ``temporary``: where directories without a name are; ``console`` None: others wrote to it, too."""
    complaints: list[str] = []
    attempt = _attempt(stage, temporary)
    if attempt is None:
        return [] if _may_lack_files(stage) else [f"{stage.plan.name}: there is no log directory"]
    for rank, plan in enumerate(stage.plan.ranks):
        for std in (Std.OUT, Std.ERR):
            path = attempt / str(rank) / f"{_STREAMS[std][1]}.log"
            captured = std in stage.plan.logs.captured(rank)
            if path.exists() and not captured:
                complaints.append(f"rank {rank}: {path} should not be")
            elif captured and not path.exists():
                complaints += [f"rank {rank}: {path} is missing"] if stage.started or deeds.leader(rank) else []
            elif captured:
                complaints += _judge_file(stage, deeds, rank, std, path.read_bytes())
        if plan.is_plain and not plan.writing_children:
            complaints += _judge_lines(stage, rank, attempt, console)
    complaints += _judge_result_paths(stage, attempt)
    return [f"{stage.plan.name}: {text}" for text in complaints]


def _attempt(stage: Stage, temporary: Path) -> Path | None:
    """The directory of the gang's ranks."""
    if stage.plan.logs.directory == "own":
        return next((stage.directory / "logs").glob("*/attempt_0"), None)
    paths = [] if stage.result is None else [*stage.result.stdouts.values(), *stage.result.stderrs.values()]
    within = [path for path in paths if path.startswith(str(temporary))]
    return Path(within[0]).parent.parent if within else None


def _may_lack_files(stage: Stage) -> bool:
    return bool(stage.plan.broken) or stage.plan.logs.directory != "own" or not stage.started


def _judge_file(stage: Stage, deeds: Deeds, rank: int, std: Std, got: bytes) -> Iterator[str]:
    """The file has what was surely written, nothing that was not, and all of it in order."""
    plan, stream = stage.plan.ranks[rank], _STREAMS[std][0]
    if plan.writing_children and std is Std.ERR:
        yield from _judge_children(rank, got)
        return
    expected = plan.says(stream)
    least, most = deeds.said(rank, stream)
    own = got[: len(expected)]
    if std is Std.ERR and _may_have_last_words(stage, plan):
        own = got[:least]
    elif len(got) > most:
        yield f"rank {rank}, {std!r}: {len(got)} bytes, it wrote at most {most}: ...{got[most:][:200]!r}"
    if len(own) < least:
        yield f"rank {rank}, {std!r}: {len(got)} bytes, it wrote at least {least}"
    elif own != expected[: len(own)]:
        at = next(index for index, (mine, its) in enumerate(zip(own, expected, strict=False)) if mine != its)
        yield f"rank {rank}, {std!r}: differs from byte {at} on: {got[at : at + 80]!r}"


def _may_have_last_words(stage: Stage, plan: RankPlan) -> bool:
    signals = {stage.plan.options["death_sig"], *stage.stop_signals, *(one.signal for one in stage.sent)}
    talkative = {signal.SIGINT, signal.SIGSEGV, signal.SIGABRT}
    return plan.how in _LAST_WORDS or stage.plan.asynchronous or bool(signals & talkative)


def _judge_children(rank: int, got: bytes) -> Iterator[str]:
    """The children have each written their lines one after another; a traceback of their leader may stand between."""
    last: dict[bytes, int] = {}
    for child, number in _CHILDS_LINE.findall(got):
        if int(number) != last.get(child, -1) + 1:
            yield f"rank {rank}: child {child!r} goes on with {number!r} after {last.get(child)}"
            return
        last[child] = int(number)


def _judge_lines(stage: Stage, rank: int, attempt: Path, console: bytes | None) -> Iterator[str]:
    """Console, filtered file and spectators have the lines of the files."""
    logs, prefix = stage.plan.logs, f"[{stage.plan.name}{rank}]:".encode()
    written = {std: _lines_of(attempt / str(rank) / f"{name}.log") for std, (_, name) in _STREAMS.items()}
    if console is not None and stage.result is not None:
        teed = [written[std] for std in _STREAMS if std in logs.tee[rank]]
        shown = [line.removeprefix(prefix) for line in console.split(b"\n") if line.startswith(prefix)]
        yield from _compare(f"the console of rank {rank}", shown, *teed)
    for std, (_, name) in _STREAMS.items():
        if logs.filtered and std in logs.tee[rank] and stage.result is not None:
            kept = (attempt / f"filtered_{name}.log").read_bytes().split(b"\n")
            found = [line.removeprefix(prefix) for line in kept if line.startswith(prefix)]
            expected = [line for line in written[std] if NEEDLE in line]
            yield from _compare(f"filtered_{name}.log of rank {rank}", found, expected)
        for seen in stage.seen:
            if seen.what == "logs" and seen.whole and std in logs.captured(rank):
                items = [one for one in seen.items if isinstance(one, LogLine)]
                texts = [one.text.encode() for one in items if (one.rank, one.stream) == (rank, std)]
                latest = written[std][len(written[std]) - len(texts) :]
                yield from _compare(f"the lines of rank {rank} seen", texts, latest)


def _lines_of(path: Path) -> list[bytes]:
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return lines[:-1] if lines and not lines[-1] else lines


def _compare(what: str, got: list[bytes], *expected: list[bytes]) -> Iterator[str]:
    """``got`` is a mixture of the ``expected`` streams, each of them whole and in order."""
    if len(got) != sum(map(len, expected)):
        yield f"{what}: {len(got)} lines, expected {[len(stream) for stream in expected]}"
    for stream in expected:
        lines = set(stream)
        if [line for line in got if line in lines] != stream:
            yield f"{what}: lines are missing, or not in order; missing: {sorted(lines - set(got))[:3]}"


def _judge_result_paths(stage: Stage, attempt: Path) -> Iterator[str]:
    if stage.result is None:
        return
    for std, paths in ((Std.OUT, stage.result.stdouts), (Std.ERR, stage.result.stderrs)):
        if set(paths) != set(range(len(stage.plan.ranks))):
            yield f"the result says where {std!r} is of {sorted(paths)} only"
        for rank, path in paths.items():
            expected = str(attempt / str(rank) / f"{_STREAMS[std][1]}.log")
            if path != (expected if std in stage.plan.logs.captured(rank) else ""):
                yield f"rank {rank}: the result says {path!r}; expected {expected!r}"
