"""Events as JSON."""

from __future__ import annotations

import json

from aelastic.cli.jsonlines import encode
from aelastic.errors import ProcessFailure
from aelastic.events import LogLine, RankExited, RankStarted, RunFinished
from aelastic.results import RunProcsResult
from aelastic.std import Std


def test_the_fields_of_an_event() -> None:
    assert json.loads(encode(RankStarted(1, 4242, 12.5))) == {
        "event": "rank_started",
        "rank": 1,
        "pid": 4242,
        "time": 12.5,
    }
    assert json.loads(encode(RankExited(1, 4242, -9, True, 13.0)))["event"] == "rank_exited"


def test_a_result_with_its_failures() -> None:
    failure = ProcessFailure(1, 4242, 3, "/logs/error.json")
    encoded = json.loads(encode(RunFinished(RunProcsResult({}, {1: failure}, exitcodes={0: 0, 1: 3}), 14.0)))
    assert encoded["result"]["exitcodes"] == {"0": 0, "1": 3}
    assert encoded["result"]["failures"]["1"]["error_file"] == "/logs/error.json"


def test_one_line_whatever_is_in_it() -> None:
    line = encode(LogLine(0, Std.ERR, "a\nb\u2028ü", 1.0))
    assert "\n" not in line
    assert json.loads(line)["text"] == "a\nb\u2028ü"
    assert json.loads(line)["stream"] == "err"
