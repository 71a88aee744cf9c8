"""How many descriptors a run takes: against a run that is played step by step."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.descriptors import RESERVE, Need, peak
from aelastic.decide.plan import StreamPlan
from aelastic.std import Std

PROGRAM = Need(launching=3, running=1)


def plans(*captured: Std, tee: bool = False) -> list[StreamPlan]:
    """Both streams of one rank per entry; ``captured`` into files of their own."""
    return [
        StreamPlan(rank, std, f"/logs/{rank}/{int(std)}" if std in what else "", tee and std in what)
        for rank, what in enumerate(captured)
        for std in (Std.OUT, Std.ERR)
    ]


def test_on_the_console_there_are_pidfds_and_the_last_launch() -> None:
    assert peak(plans(*[Std.NONE] * 5), [], [PROGRAM] * 5) == RESERVE + 4 + 3


def test_captured_streams_have_a_file_and_both_ends_of_a_pipe_before_the_first_launch() -> None:
    assert peak(plans(*[Std.ALL] * 5), [], [PROGRAM] * 5) == RESERVE + 5 * 2 * 3 + 3
    assert peak(plans(*[Std.OUT] * 5), [], [PROGRAM] * 5) == RESERVE + 5 * 3 + 3


def test_ranks_that_keep_more_than_their_launch_frees_are_most_at_the_end() -> None:
    assert peak(plans(*[Std.ALL] * 5), [], [Need(6, 4)] * 5) == RESERVE + 5 * 2 * 3 + 4 * 2 + 6


def test_a_rank_that_keeps_more_than_it_took_to_launch() -> None:
    assert peak(plans(Std.NONE), [], [Need(1, 4)]) == RESERVE + 4


def test_a_shared_file_is_open_once() -> None:
    shared = [StreamPlan(rank, std, "/logs/all", tee=False) for rank in range(5) for std in (Std.OUT, Std.ERR)]
    assert peak(shared, [], [PROGRAM] * 5) == RESERVE + 1 + 5 * 2 * 2 + 3


def test_what_goes_nowhere_takes_nothing() -> None:
    nowhere = [StreamPlan(0, std, os.devnull, tee=False) for std in (Std.OUT, Std.ERR)]
    assert peak(nowhere, [], [PROGRAM]) == RESERVE + 3


def test_consoles_and_filtered_logs_are_there_once_for_all_ranks() -> None:
    ranks = [PROGRAM] * 5
    silent, teed = plans(*[Std.ALL] * 5), plans(*[Std.ALL] * 5, tee=True)
    assert peak(teed, ["/logs/filtered"], ranks) == peak(silent, [], ranks) + 2 * 2 + 1


needs = st.builds(Need, st.integers(0, 9), st.integers(0, 9))
ranks = st.lists(st.tuples(st.sampled_from(list(Std)), needs), min_size=1, max_size=9)


@given(ranks)
def test_it_is_the_most_that_is_open_at_once(ranks: list[tuple[Std, Need]]) -> None:
    captured = [2 if what is Std.ALL else int(what is not Std.NONE) for what, _ in ranks]
    pipes_and_files, running, seen = [3 * count for count in captured], 0, []
    for rank, (_, need) in enumerate(ranks):
        seen.append(sum(pipes_and_files) + running + need.launching)
        pipes_and_files[rank] -= captured[rank]
        running += need.running
        seen.append(sum(pipes_and_files) + running)
    assert peak(plans(*(what for what, _ in ranks)), [], [need for _, need in ranks]) == RESERVE + max(
        *seen, 3 * sum(captured)
    )


def test_needs_add_up() -> None:
    assert Need(3, 1) + Need(2, 1) == Need(5, 2)
