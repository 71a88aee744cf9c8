"""Portions that many readers follow, each at its own pace, in bounded memory."""

from __future__ import annotations

import json
import sys
from typing import Any

from aelastic.events import LogLine, RankStarted
from aelastic.std import Std
from aelastic.web.ring import LINES_PER_PORTION, LONGEST_TEXT, Portion, Ring


def lines(count: int, rank: int = 0, text: str = "x") -> list[LogLine]:
    return [LogLine(rank, Std.OUT, text, 1.0) for _ in range(count)]


def portion_after(ring: Ring, number: int) -> Portion:
    found = ring.after(number)
    assert found is not None
    return found


def encoded(ring: Ring, number: int, ranks: frozenset[int] | None = None) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(ring.encode(portion_after(ring, number - 1), ranks))
    return decoded


def test_portions_follow_one_another() -> None:
    ring = Ring()
    assert ring.after(0) is None
    ring.add(lines(2))
    ring.add(lines(3), missed=10)
    first, second = portion_after(ring, 0), portion_after(ring, 1)
    assert (first.number, first.passed, second.number, second.passed) == (1, 2, 2, 15)
    assert ring.passed_before(second) == 2
    assert ring.after(2) is None


def test_a_reader_who_is_too_slow_goes_on_with_the_oldest() -> None:
    ring = Ring()
    for _ in range(60):
        ring.add(lines(1000))
    oldest = portion_after(ring, 0)
    assert oldest.number > 1
    assert ring.passed_before(oldest) == (oldest.number - 1) * 1000


def test_memory_is_bounded_whatever_comes() -> None:
    ring = Ring()
    for _ in range(100):
        ring.add(lines(100, text="x" * 65536))
    assert sum(portion.characters for portion in ring._portions) <= 8 * 1024 * 1024
    for _ in range(20_000):
        ring.add(events=[RankStarted(0, 1, 0.0)])
    assert len(ring._portions) <= 10_000
    for _ in range(200):
        ring.add(events=[RankStarted(0, 1, 0.0)] * 1000)
    assert sum(len(portion.events) for portion in ring._portions) <= 50_000


def test_the_newest_is_kept_however_large() -> None:
    ring = Ring()
    ring.add(lines(1))
    ring.add(lines(60_000))
    assert portion_after(ring, 0).number == 2


def test_a_new_reader_begins_shortly_before_the_end() -> None:
    ring = Ring()
    assert ring.recent(100) == 0
    for _ in range(10):
        ring.add(lines(30))
    assert ring.recent(100) == 7
    ring.add(lines(500))
    assert ring.recent(100) == 10, "the last portion, however large"


def test_a_reader_gets_the_ranks_that_it_wants() -> None:
    ring = Ring()
    ring.add([*lines(1, rank=0), *lines(2, rank=1)], [RankStarted(2, 77, 1.0)])
    assert [row[0] for row in encoded(ring, 1)["lines"]] == [0, 1, 1]
    one = encoded(ring, 1, frozenset({1}))
    assert one["lines"] == [[1, 1, 1.0, "x"]] * 2
    assert one["events"] == [RankStarted(2, 77, 1.0).to_dict() | {"text": "rank 2 started with pid 77"}]


def test_too_many_lines_are_left_out_and_counted() -> None:
    ring = Ring()
    ring.add([*lines(1000, rank=0), *lines(10, rank=1)], missed=5)
    message = encoded(ring, 1)
    assert len(message["lines"]) == LINES_PER_PORTION
    assert message["dropped"] == {"0": 1010 - LINES_PER_PORTION}
    assert message["missed"] == 5


def test_what_was_there_before_is_no_loss() -> None:
    ring = Ring()
    ring.add(lines(1000), old=True)
    assert encoded(ring, 1)["dropped"] == {}


def test_a_long_line_is_shortened() -> None:
    ring = Ring()
    ring.add(lines(1, text="y" * (LONGEST_TEXT + 9)))
    text = encoded(ring, 1)["lines"][0][3]
    assert text == "y" * LONGEST_TEXT + " … 9 more characters"


def test_what_readers_share_is_made_once_and_not_kept_for_ever() -> None:
    ring = Ring()
    ring.add(lines(10))
    portion = portion_after(ring, 0)
    assert ring.encode(portion, None) is ring.encode(portion, None)
    for rank in range(1000):
        ring.encode(portion, frozenset({rank}))
    assert sys.getsizeof(ring._encodings) < 10_000
