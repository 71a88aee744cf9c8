"""The error of waiting for a rank that will not be ready."""

from __future__ import annotations

import pickle

from aelastic.errors import NotReadyError


def test_an_error_of_waiting_travels_between_processes() -> None:
    error = NotReadyError("w", 3, "exited with code 1 before it was ready", 1, "last\nlines")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.name, again.rank, again.reason, again.exitcode, again.last_lines) == (
        "w",
        3,
        "exited with code 1 before it was ready",
        1,
        "last\nlines",
    )
    assert str(again) == str(error)
    assert str(error).endswith("; its last lines:\n  last\n  lines")
