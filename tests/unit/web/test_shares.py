"""Who of many gets how much of too little."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aelastic.events import LogLine
from aelastic.std import Std
from aelastic.web.shares import fair_shares, last_fairly

COUNTS = st.dictionaries(st.integers(0, 20), st.integers(1, 50), min_size=1)


def lines(*ranks: int) -> list[LogLine]:
    return [LogLine(rank, Std.OUT, str(number), 0.0) for number, rank in enumerate(ranks)]


@given(COUNTS, st.integers(0, 500))
def test_nothing_is_given_twice_or_wasted(counts: dict[int, int], budget: int) -> None:
    shares = fair_shares(counts, budget)
    assert sum(shares.values()) == min(budget, sum(counts.values()))
    assert all(0 <= shares[who] <= count for who, count in counts.items())


@given(COUNTS, st.integers(0, 500))
def test_who_gets_less_than_he_has_gets_as_much_as_anybody(counts: dict[int, int], budget: int) -> None:
    shares = fair_shares(counts, budget)
    short = [share for who, share in shares.items() if share < counts[who]]
    assert not short or max(shares.values()) - min(short) <= 1


def test_a_quiet_rank_is_not_drowned_by_a_loud_one() -> None:
    kept, left_out = last_fairly(lines(*[0] * 100, 1, *[0] * 100), 10)
    assert Counter(line.rank for line in kept) == {0: 9, 1: 1}
    assert left_out == {0: 191}


def test_the_last_lines_are_kept_in_order() -> None:
    kept, left_out = last_fairly(lines(0, 1, 0, 1, 0, 1), 4)
    assert [line.text for line in kept] == ["2", "3", "4", "5"]
    assert left_out == {0: 1, 1: 1}


def test_what_fits_is_left_alone() -> None:
    all_of_them = lines(0, 1, 0)
    assert last_fairly(all_of_them, 3) == (all_of_them, {})
