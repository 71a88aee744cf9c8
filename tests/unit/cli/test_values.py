"""From the text of an option to its value."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.cli import values
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.number_of_ranks, "1", 1),
        (values.number_of_ranks, "012", 12),
        (values.number_of_ranks, "auto", "auto"),
        (values.number_of_ranks, "gpu", "gpu"),
        (values.count, "0", 0),
        (values.seconds, "2.5", 2.5),
        (values.seconds, "30", 30.0),
        (values.streams, "3", Std.ALL),
        (values.streams, "=1", Std.OUT),
        (values.streams, "0:1,10:3", {0: Std.OUT, 10: Std.ALL}),
        (values.ranks, "", None),
        (values.ranks, "0, 2,11", frozenset({0, 2, 11})),
        (values.words, "", ()),
        (values.words, "apple,orange", ("apple", "orange")),
        (values.words, "a,,b,c", ("a,b", "c")),
        (values.signals, "SIGTERM, SIGUSR1", (signal.SIGTERM, signal.SIGUSR1)),
        (values.signals, "", ()),
        (values.endpoint, "", None),
        (values.endpoint, "localhost", ("localhost", None)),
        (values.endpoint, "localhost:0", ("localhost", None)),
        (values.endpoint, "node-7.example:29400", ("node-7.example", 29400)),
        (values.endpoint, "[::1]:29400", ("[::1]", 29400)),
        (values.port, "29500", 29500),
        (values.port, "0", None),
        (values.one_node, "1:1", "1:1"),
        (values.first_node, "0", "0"),
        (values.local_backend, "c10d", "c10d"),
    ],
)
def test_what_it_means(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (values.number_of_ranks, "0", "neither a number, 1 or more, nor one of auto, cpu, gpu"),
        (values.number_of_ranks, "-1", "neither a number"),
        (values.number_of_ranks, "two", "neither a number"),
        (values.number_of_ranks, "xpu", "write their number"),
        (values.count, "-1", "0 or more"),
        (values.count, "1.5", "0 or more"),
        (values.seconds, "nan", "0 or more"),
        (values.seconds, "-1", "0 or more"),
        (values.streams, "4", "3 both"),
        (values.ranks, "0-3", "no list of local ranks"),
        (values.signals, "SIGKILL", "SIGKILL cannot be received"),
        (values.endpoint, "a:b", "host:port"),
        (values.endpoint, "::1", "host:port"),
        (values.port, "65536", "not a port"),
        (values.port, "http", "not a port"),
        (values.one_node, "2", "one machine"),
        (values.one_node, "1:4", "one machine"),
        (values.first_node, "1", "node 0"),
        (values.local_backend, "etcd-v2", "several machines"),
        (values.nothing_to_configure, "join_timeout=60", "several machines"),
        (values.no_event_log, "console", "--json"),
    ],
)
def test_what_it_cannot_mean(parse: Callable[[str], object], text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_an_unknown_signal_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    assert values.signals("SIGTERM,SIGNONSENSE") == (signal.SIGTERM,)
    assert "SIGNONSENSE" in caplog.text


@given(st.lists(st.text(min_size=1).filter(lambda text: "\0" not in text and not text.startswith(","))))
def test_any_words_can_be_written(words: list[str]) -> None:
    text = ",".join(word.replace(",", ",,") for word in words)
    assert values.words(text) == tuple(words)


def test_words_are_torchs(torch_run: Any) -> None:
    for text in ("apple,orange", "a,,b,c", "one"):
        args = torch_run.parse_args(["--duplicate-stdout-filters", text, "x.py"])
        assert list(values.words(text)) == args.duplicate_stdout_filters
