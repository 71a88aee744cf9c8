"""The judge is just: nothing is said of a gang that went well, and whatever is wrong is found."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import tempfile
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aelastic import RunFinished, Std
from tests.chaos import traces
from tests.chaos.acts import perform
from tests.chaos.chance import Draw
from tests.chaos.deeds import Deeds
from tests.chaos.draw import draw_scene
from tests.chaos.judge import judge
from tests.chaos.logs import judge_logs
from tests.chaos.plan import Act, GangPlan, LogsPlan, RankPlan, Spectator, Step
from tests.chaos.stage import MARK, Stage
from tests.chaos.traces import Complaints, Traces, own_world, stray_files
from tests.helpers.apps import has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aelastic import RunProcsResult

OPTIONS = {"shutdown_timeout": 5.0, "drain_timeout": 1.0, "failure_grace": 0.0, "death_sig": 15}


def saying(salt: int, stream: int = 1, kind: str = "unended") -> Step:
    return Step("say", {"stream": stream, "kind": kind, "size": 3000, "salt": salt, "pause": 0})


LOSER = RankPlan((saying(10), saying(11, 2, "lines"), Step("end", {"how": "record", "code": 1})))
OTHER = RankPlan((saying(20, kind="binary"), Step("rest", {"seconds": 30.0}), Step("end", {"how": "exit", "code": 0})))
GOOD = RankPlan((Step("end", {"how": "value", "size": 5000, "salt": 3}),))


def gang(*ranks: RankPlan, **fields: Any) -> GangPlan:
    tee = dict.fromkeys(range(len(ranks)), Std.ALL)
    none = dict.fromkeys(range(len(ranks)), Std.NONE)
    logs = LogsPlan("own", none, tee, filtered=True)
    plan = GangPlan("gang-", "program", False, ranks, logs, Act("waits", 0.0), OPTIONS)
    return replace(plan, spectators=(Spectator("events", 0), Spectator("logs", 0)), **fields)


@dataclass
class Played:
    """A gang that is over."""

    stage: Stage
    console: bytes
    directory: Path

    def complaints(self) -> list[str]:
        deeds = Deeds.read(self.stage.deeds)
        return judge(self.stage, deeds) + judge_logs(self.stage, deeds, self.directory / "tmp", self.console)

    def result(self) -> RunProcsResult:
        assert self.stage.result is not None
        return self.stage.result

    def change(self, **fields: Any) -> None:
        self.stage.result = replace(self.result(), **fields)


def play(directory: Path, plan: GangPlan) -> Played:
    async def main() -> Played:
        with own_world(directory) as console:
            stage = Stage(plan, directory)
            await perform(stage)
            await stage.conclude()
        return Played(stage, console.read_bytes(), directory)

    return asyncio.run(main())


@pytest.fixture
def failed(tmp_path: Path) -> Played:
    return play(tmp_path, gang(LOSER, OTHER))


@pytest.fixture
def succeeded(tmp_path: Path) -> Played:
    return play(tmp_path, gang(GOOD, GOOD, home="spawn"))


def log_of(played: Played, rank: int) -> Path:
    return Path(played.result().stdouts[rank])


def test_of_a_gang_that_went_well_nothing_is_said(failed: Played, tmp_path: Path) -> None:
    assert failed.complaints() == []
    assert failed.result().exitcodes == {0: 1, 1: -15}
    assert stray_files([failed.stage], tmp_path / "tmp") == []


def test_of_a_gang_that_succeeded_nothing_is_said(succeeded: Played) -> None:
    assert succeeded.complaints() == []
    assert not succeeded.result().is_failed()


def collateral(played: Played, rank: int, value: bool) -> None:
    failures = played.result().failures
    played.change(failures={**failures, rank: replace(failures[rank], collateral=value)})


def forget_a_failure(played: Played) -> None:
    failures = dict(played.result().failures)
    del failures[1]
    played.change(failures=failures)


def lose_the_message(played: Played) -> None:
    failures = played.result().failures
    played.change(failures={**failures, 0: replace(failures[0], message="exited with code 1")})


def write_log(played: Played, change: Callable[[bytes], bytes]) -> None:
    path = log_of(played, 0)
    path.write_bytes(change(path.read_bytes()))


def lose_a_line_of_the_console(played: Played) -> None:
    lines = played.console.split(b"\n")
    lines.remove(next(line for line in lines if line.startswith(b"[gang-0]:")))
    played.console = b"\n".join(lines)


def mix_up_the_console(played: Played) -> None:
    played.console = b"\n".join(reversed(played.console.split(b"\n")))


def lose_a_line_of_the_filter(played: Played) -> None:
    path = log_of(played, 0).parent.parent / "filtered_stdout.log"
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


def lose_what_was_seen(played: Played, what: str) -> None:
    seen = next(seen for seen in played.stage.seen if seen.what == what)
    mine = [item for item in seen.items if not isinstance(item, RunFinished) and item.rank == 0]
    seen.items.remove(mine[-2])


def never_end(played: Played) -> None:
    played.stage.over_at += 60


def change_a_failure(played: Played) -> None:
    failures = played.result().failures
    played.change(failures={**failures, 0: replace(failures[0], pid=1)})


WRONGS: list[tuple[Callable[[Played], object], str]] = [
    (lambda played: played.change(exitcodes={0: 2, 1: -15}), "rank 0 ended with 2"),
    (lambda played: played.change(exitcodes={0: 1}), "exit codes of [0] only"),
    (lambda played: played.change(exitcodes={0: 1, 1: -11}), "rank 1 ended with -11"),
    (lambda played: played.change(abandoned={1: 77}), "abandoned"),
    (lambda played: played.change(detached={1: (77,)}), "detached"),
    (lambda played: played.change(lost_log_bytes={"x": 1}), "lost log bytes"),
    (lambda played: played.change(return_values={0: None, 1: None}), "return values"),
    (lambda played: played.change(stdouts={}), "the result says where"),
    (forget_a_failure, "failures of [0]"),
    (change_a_failure, "rank 0 has pid"),
    (lambda played: collateral(played, 0, value=True), "rank 0 is collateral"),
    (lambda played: collateral(played, 0, value=True), "without a first one"),
    (lambda played: collateral(played, 1, value=False), "rank 1 is a cause"),
    (lose_the_message, "the exception of rank 0 was lost"),
    (lambda played: write_log(played, lambda log: log[:-1]), "it wrote at least"),
    (lambda played: write_log(played, lambda log: log + b"!"), "it wrote at most"),
    (lambda played: write_log(played, lambda log: log[:500] + b"!" + log[501:]), "differs from byte 500"),
    (lambda played: log_of(played, 1).unlink(), "is missing"),
    (lose_a_line_of_the_console, "the console of rank 0"),
    (mix_up_the_console, "not in order"),
    (lose_a_line_of_the_filter, "filtered_stdout.log of rank 0"),
    (lambda played: lose_what_was_seen(played, "events"), "events"),
    (lambda played: lose_what_was_seen(played, "logs"), "the lines of rank"),
    (never_end, "seconds to stop"),
    (lambda played: setattr(played.stage, "states", {}), "at the end the ranks are"),
]


@pytest.mark.parametrize(("wrong", "complaint"), WRONGS)
def test_what_is_wrong_with_a_failed_gang_is_found(
    failed: Played, wrong: Callable[[Played], object], complaint: str
) -> None:
    wrong(failed)
    assert any(complaint in text for text in failed.complaints()), failed.complaints()


@pytest.mark.parametrize(
    ("values", "complaint"), [({0: (0, b"")}, "returned something else"), ({}, "no value of the ranks [0, 1]")]
)
def test_a_wrong_value_is_found(succeeded: Played, values: dict[int, Any], complaint: str) -> None:
    succeeded.change(return_values=values)
    assert any(complaint in text for text in succeeded.complaints()), succeeded.complaints()


@contextlib.contextmanager
def a_process(stage: Stage) -> Iterator[None]:
    process = subprocess.Popen(["sleep", "600"], env={MARK: stage.mark})
    yield
    assert has_ended(process.pid)  # the traces have killed it
    process.wait()


@contextlib.contextmanager
def a_descriptor(stage: Stage) -> Iterator[None]:
    descriptor = os.dup(0)
    yield
    os.close(descriptor)


@contextlib.contextmanager
def a_thread(stage: Stage) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


@contextlib.contextmanager
def a_task(stage: Stage) -> Iterator[None]:
    task = asyncio.create_task(asyncio.sleep(600))
    yield
    task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("leave", "complaint"),
    [(a_process, "process"), (a_descriptor, "descriptor"), (a_thread, "thread"), (a_task, "task")],
)
async def test_what_is_left_is_found(
    leave: Callable[[Stage], contextlib.AbstractContextManager[None]],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traces, "PATIENCE", 0.1)
    stage = Stage(gang(GOOD), tmp_path)
    before = Traces()
    assert await before.left([stage]) == []
    with leave(stage):
        left = await before.left([stage])
    assert left
    assert left[0].startswith(complaint)


class Noisy:
    def __del__(self) -> None:
        raise RuntimeError("in a finalizer")


def in_a_thread() -> None:
    raise RuntimeError("in a thread")


def start_a_thread() -> None:
    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()


NOISES: list[tuple[Callable[[], object], str]] = [
    (lambda: logging.getLogger("aelastic").warning("something"), "log: aelastic: something"),
    (lambda: warnings.warn("left open", ResourceWarning, stacklevel=1), "warning: ResourceWarning: left open"),
    (lambda: asyncio.get_running_loop().call_exception_handler({"message": "lost"}), "loop: "),
    (Noisy, "unraisable: "),
    (start_a_thread, "thread: "),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("noise", "complaint"), NOISES)
async def test_what_is_said_is_heard(noise: Callable[[], object], complaint: str) -> None:
    heard = Complaints()
    with heard.listening():
        noise()
        gc.collect()
    assert any(text.startswith(complaint) for text in heard.all([], assaulted=False))


def test_a_stray_file_is_found(failed: Played, tmp_path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=tmp_path / "tmp"):
        assert stray_files([failed.stage], tmp_path / "tmp")


def test_an_empty_directory_is_found(failed: Played, tmp_path: Path) -> None:
    (tmp_path / "tmp" / "aelastic_1").mkdir()
    assert stray_files([failed.stage], tmp_path / "tmp")


def test_a_seed_always_means_the_same() -> None:
    assert [str(draw_scene([seed])) for seed in range(30)] == [str(draw_scene([seed])) for seed in range(30)]


def test_chance_meets_every_act_and_every_vice() -> None:
    gangs = [one for seed in range(400) for one in draw_scene([seed]).gangs]
    steps = {step.do for one in gangs for rank in one.ranks for step in rank.steps}
    acts = {one.act.kind for one in gangs}
    assert steps == {
        "detach", "end", "freeze", "ignore", "leave_children", "let_escape", "report", "rest", "say",
    }  # fmt: skip
    assert acts == {
        "waits", "closes", "closes twice", "cancels", "cancels twice", "cancels the start", "scope", "times out",
        "raises", "requests a stop", "stops the start", "signals", "polls", "drops",
    }  # fmt: skip
    assert Draw(1).number(100) == Draw(1).number(100)
