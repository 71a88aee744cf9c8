"""From arguments to plans: every error names the rank and the argument."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from aelastic.decide.plan import RankPlan, StreamPlan, check_env, check_ranks, plan_ranks, plan_streams
from aelastic.errors import AelasticError, InvalidArgumentError, InvalidRanksError
from aelastic.logs.specs import LogsDest
from aelastic.std import Std


def plan(args: Any, envs: Any = None, prefixes: Any = None) -> tuple[RankPlan, ...]:
    return plan_ranks("w", args, {rank: {} for rank in range(len(args))} if envs is None else envs, prefixes)


def refusal(args: Any, envs: Any = None, prefixes: Any = None) -> str:
    with pytest.raises(AelasticError) as caught:
        plan(args, envs, prefixes)
    return str(caught.value)


# Ranks


def test_one_record_for_each_rank() -> None:
    assert plan({0: ("a", "b"), 1: ()}, {0: {"K": "v"}, 1: {}}) == (
        RankPlan(0, ("a", "b"), {"K": "v"}, "[w0]:"),
        RankPlan(1, (), {}, "[w1]:"),
    )


def test_the_order_given_does_not_matter() -> None:
    assert [one.rank for one in plan({1: (), 0: (), 2: ()})] == [0, 1, 2]


def test_any_mapping_will_do() -> None:
    args, envs = MappingProxyType({0: ["a"]}), OrderedDict({0: MappingProxyType({"K": "v"})})
    assert plan(args, envs) == (RankPlan(0, ("a",), {"K": "v"}, "[w0]:"),)


def test_no_ranks_are_an_error() -> None:
    with pytest.raises(InvalidRanksError, match="args: no ranks given"):
        plan({})


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({1: ()}, "args: expected exactly the local ranks 0 to 0; missing: [0], unexpected: [1]"),
        ({0: (), 2: ()}, "args: expected exactly the local ranks 0 to 1; missing: [1], unexpected: [2]"),
        ({-1: (), 0: ()}, "args: expected exactly the local ranks 0 to 1; missing: [1], unexpected: [-1]"),
        ({"0": (), 1: ()}, "args: expected exactly the local ranks 0 to 1; missing: [0], unexpected: ['0']"),
        ({None: ()}, "args: expected exactly the local ranks 0 to 0; missing: [0], unexpected: [None]"),
    ],
)
def test_gaps_and_strangers_are_named(args: Any, said: str) -> None:
    assert refusal(args) == said


@pytest.mark.parametrize(
    ("envs", "said"),
    [
        ({}, "envs: expected exactly the local ranks 0 to 1; missing: [0, 1], unexpected: []"),
        ({0: {}}, "envs: expected exactly the local ranks 0 to 1; missing: [1], unexpected: []"),
        ({0: {}, 1: {}, 2: {}}, "envs: expected exactly the local ranks 0 to 1; missing: [], unexpected: [2]"),
    ],
)
def test_envs_have_the_ranks_of_args(envs: Any, said: str) -> None:
    assert refusal({0: (), 1: ()}, envs) == said


@pytest.mark.parametrize("args", [[()], [["a"]], ((),), "ab"])
def test_args_are_a_mapping(args: Any) -> None:
    assert refusal(args).startswith(f"args: expected a mapping such as {{0: ...}}, got {type(args).__name__}")


@pytest.mark.parametrize("envs", [[{}], ({},), "a"])
def test_envs_are_a_mapping(envs: Any) -> None:
    assert refusal({0: ()}, envs).startswith("envs: expected a mapping such as {0: ...}, got ")


def test_wrong_ranks_are_a_runtime_error_as_in_torch() -> None:
    with pytest.raises(RuntimeError):
        check_ranks("args", {1: ()}, 1)


# Arguments


def test_arguments_become_text() -> None:
    assert plan({0: ["a", 1, 2.5, None, Path("/x")]})[0].args == ("a", "1", "2.5", "None", "/x")


@pytest.mark.parametrize("args", ["hello", b"hello", bytearray(b"hello"), ""])
def test_t14_text_is_no_sequence_of_arguments(args: Any) -> None:
    said = refusal({0: (), 1: args})
    assert said.startswith(f"args[1]: expected a tuple of arguments, got {type(args).__name__}")
    assert f"write ({args!r},)" in said


@pytest.mark.parametrize("args", [5, None, {"a": 1}, {"a"}, iter("a")])
def test_what_is_no_sequence_is_refused(args: Any) -> None:
    assert refusal({0: args}).startswith(f"args[0]: expected a tuple of arguments, got {type(args).__name__}")


@pytest.mark.parametrize("arg", [b"x", bytearray(b"x")])
def test_bytes_are_no_argument(arg: object) -> None:
    assert refusal({0: (), 1: ("a", arg)}).startswith("args[1][1]: expected text, got bytes")


@pytest.mark.parametrize("arg", ["a\0b", "\ud800"])
def test_text_that_no_process_can_be_given_is_refused(arg: str) -> None:
    assert refusal({0: (), 1: ("a", arg)}).startswith("args[1][1]: the text")


def test_file_names_that_are_not_unicode_are_arguments() -> None:
    name = os.fsdecode(b"\xff")
    assert plan({0: (name,)})[0].args == (name,)


# Environments


def test_t8_the_environment_is_a_copy() -> None:
    env = {"K": "v"}
    plan({0: ()}, {0: env})[0].env["OTHER"] = "x"
    assert env == {"K": "v"}


@pytest.mark.parametrize("key", ["", "A=B", "=", "A\0", 5, None, b"A"])
def test_a_name_that_cannot_be_one(key: object) -> None:
    assert refusal({0: (), 1: ()}, {0: {}, 1: {key: "v"}}) == (
        f"envs[1]: {key!r} cannot be the name of an environment variable"
    )


@pytest.mark.parametrize(
    ("value", "kind"), [(1, "int"), (None, "NoneType"), (b"x", "bytes"), (Path("/x"), "PosixPath")]
)
def test_a_value_that_is_no_text(value: object, kind: str) -> None:
    assert refusal({0: (), 1: ()}, {0: {}, 1: {"KEY": value}}) == f"envs[1]['KEY']: expected a str, got {kind}"


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_process_can_be_given(value: str) -> None:
    assert refusal({0: ()}, {0: {"KEY": value}}).startswith("envs[0]['KEY']: the text")


def test_a_name_that_cannot_be_encoded() -> None:
    assert refusal({0: ()}, {0: {"\ud800": "v"}}).startswith("envs[0]")


@pytest.mark.parametrize("env", [None, "A=B", ["A=B"], [("A", "B")]])
def test_an_environment_is_a_mapping(env: object) -> None:
    said = refusal({0: (), 1: ()}, {0: {}, 1: env})
    assert said == f"envs[1]: expected a mapping of str to str, got {type(env).__name__}"


@pytest.mark.parametrize("value", ["", " ", "=", "a=b", "ü", "\n", "\udcff"])
def test_other_values_are_fine(value: str) -> None:
    assert check_env(0, {"K": value}) == {"K": value}


def test_odd_arguments_are_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"envs\[0\]"):
        check_env(0, {"": "v"})
    assert issubclass(InvalidArgumentError, ValueError)


# Headers


def test_a_header_can_be_chosen_by_rank() -> None:
    plans = plan({0: (), 1: ()}, prefixes={1: ">>", 7: "nobody's"})
    assert [one.prefix for one in plans] == ["[w0]:", ">>"]


def test_an_empty_header_is_a_choice() -> None:
    assert plan({0: ()}, prefixes={0: ""})[0].prefix == ""


@pytest.mark.parametrize("prefix", [None, 5, b">>"])
def test_a_header_is_text(prefix: object) -> None:
    said = refusal({0: (), 1: ()}, prefixes={1: prefix})
    assert said == f"log_line_prefixes[1]: expected a str, got {type(prefix).__name__}"


# Streams


def dest(path: str, tee: str | None = None) -> LogsDest:
    """One rank whose standard output goes to ``path``, teed from ``tee``."""
    return LogsDest({0: path}, {0: ""}, {} if tee is None else {0: tee}, {}, {0: "/e"})


@pytest.mark.parametrize(
    ("path", "tee", "planned", "captured"),
    [
        ("", None, ("", False), False),
        ("", "", ("", False), False),
        ("/o", None, ("/o", False), True),
        ("/o", "", ("/o", False), True),
        ("/o", "/o", ("/o", True), True),
        (os.devnull, None, (os.devnull, False), False),
        ("", os.devnull, ("", False), False),
        ("/o", os.devnull, ("/o", False), True),
        (os.devnull, os.devnull, (os.devnull, False), False),
        ("", "/t", ("/t", True), True),
        (os.devnull, "/t", ("/t", True), True),
        ("/o", "/t", ("/o", True), True),
    ],
)
def test_where_a_stream_goes(path: str, tee: str | None, planned: tuple[str, bool], captured: bool) -> None:
    stream = plan_streams(dest(path, tee), [0])[0]
    assert stream == StreamPlan(0, Std.OUT, *planned)
    assert stream.captured is captured


def test_both_streams_of_every_rank_are_planned() -> None:
    both = LogsDest({0: "/o0", 1: ""}, {0: "", 1: "/e1"}, {0: "/o0"}, {1: "/e1"}, {0: "", 1: ""})
    assert plan_streams(both, [0, 1]) == (
        StreamPlan(0, Std.OUT, "/o0", tee=True),
        StreamPlan(0, Std.ERR, "", tee=False),
        StreamPlan(1, Std.OUT, "", tee=False),
        StreamPlan(1, Std.ERR, "/e1", tee=True),
    )


@pytest.mark.parametrize("what", ["stdouts", "stderrs", "error_files"])
def test_a_dest_that_lacks_ranks_is_refused_by_name(what: str) -> None:
    lacking = LogsDest({0: "", 1: "", 2: ""}, {0: "", 1: "", 2: ""}, {}, {}, {0: "", 1: "", 2: ""})
    setattr(lacking, what, {1: ""})
    with pytest.raises(InvalidRanksError, match=rf"^LogsDest\.{what} lacks the ranks \[0, 2\]$"):
        plan_streams(lacking, range(3))


def test_ranks_of_a_dest_that_nobody_runs_are_passed_over() -> None:
    more = LogsDest({0: "", 1: "/o"}, {0: "", 1: ""}, {1: "/o"}, {}, {0: "", 1: ""})
    assert [stream.rank for stream in plan_streams(more, [0])] == [0, 0]


def test_a_dest_of_torch_will_do(torch_mp: Any) -> None:
    theirs = torch_mp.LogsDest({0: "/o"}, {0: ""}, {0: "/o"}, {}, {0: "/e"})
    assert plan_streams(theirs, [0])[0] == StreamPlan(0, Std.OUT, "/o", tee=True)
