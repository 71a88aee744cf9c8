"""Std and to_map."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.std import Std, to_map


def test_values_are_flags() -> None:
    assert [int(std) for std in Std] == [1, 2]
    assert Std.OUT | Std.ERR == Std.ALL
    assert [int(std) for std in (Std.NONE, Std.ALL)] == [0, 3]
    assert Std.OUT in Std.ALL
    assert Std.OUT not in Std.ERR


@pytest.mark.parametrize(("text", "expected"), [("0", Std.NONE), ("1", Std.OUT), ("2", Std.ERR), ("3", Std.ALL)])
def test_one_value_for_every_rank(text: str, expected: Std) -> None:
    assert Std.from_str(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:3", {0: Std.ALL}),
        ("0:3,1:0", {0: Std.ALL, 1: Std.NONE}),
        ("7:1,2:2", {7: Std.OUT, 2: Std.ERR}),
    ],
)
def test_values_by_rank(text: str, expected: dict[int, Std]) -> None:
    assert Std.from_str(text) == expected


def test_t13_ranks_have_any_number_of_digits() -> None:
    assert Std.from_str("10:3,127:1") == {10: Std.ALL, 127: Std.OUT}


@pytest.mark.parametrize("text", ["3\n", "0:1\n", "0:1,1:2\n"])
def test_t13_nothing_may_follow_the_last_value(text: str) -> None:
    with pytest.raises(ValueError, match="is neither one value"):
        Std.from_str(text)


@pytest.mark.parametrize(
    "text", ["", "4", "11", "-1", "0:", ":1", "0:1,", ",0:1", "0:1,1", "0:4", "0-1", "a:1", "0: 1"]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is neither one value") as caught:
        Std.from_str(text)
    assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parsed = Std.from_str(text)
    except ValueError:
        return
    assert isinstance(parsed, Std | dict)


@given(st.dictionaries(st.integers(min_value=0, max_value=500), st.sampled_from(list(map(Std, range(4)))), min_size=1))
def test_a_mapping_survives_being_written_and_read(mapping: dict[int, Std]) -> None:
    text = ",".join(f"{rank}:{int(std)}" for rank, std in mapping.items())
    assert Std.from_str(text) == mapping


def test_to_map_spreads_one_value() -> None:
    assert to_map(Std.ERR, 3) == {0: Std.ERR, 1: Std.ERR, 2: Std.ERR}


def test_to_map_fills_up_with_none_and_drops_strangers() -> None:
    assert to_map({1: Std.OUT, 9: Std.ALL}, 3) == {0: Std.NONE, 1: Std.OUT, 2: Std.NONE}


def test_to_map_gives_a_copy() -> None:
    given_map = {0: Std.OUT}
    to_map(given_map, 1)[0] = Std.ALL
    assert given_map == {0: Std.OUT}


@pytest.mark.parametrize("text", ["0", "3", "0:3", "0:3,1:0", "2:1,0:2"])
def test_torch_reads_the_same(text: str, torch_mp: Any) -> None:
    assert Std.from_str(text) == torch_mp.Std.from_str(text)


@pytest.mark.parametrize("value", [Std.OUT, {}, {1: Std.ALL}, {0: Std.OUT, 5: Std.ERR}])
def test_torch_spreads_the_same(value: Std | dict[int, Std], torch_mp: Any) -> None:
    theirs = torch_mp.Std(value) if isinstance(value, Std) else value
    assert to_map(value, 3) == torch_mp.to_map(theirs, 3)
