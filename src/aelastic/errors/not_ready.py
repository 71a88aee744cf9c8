"""The error of waiting for a rank that will not be ready."""

from __future__ import annotations

from aelastic.errors.base import AelasticError


class NotReadyError(AelasticError, RuntimeError):
    """A rank ended before it was ready, or was never started. The text has its last lines.

    ``exitcode`` is None when it never ended or never began; ``last_lines`` are of its standard output and error, empty
    where the stream is not captured.
    """

    def __init__(self, name: str, rank: int, reason: str, exitcode: int | None = None, last_lines: str = "") -> None:
        self.name = name
        self.rank = rank
        self.reason = reason
        self.exitcode = exitcode
        self.last_lines = last_lines
        told = "; its last lines:\n  " + last_lines.replace("\n", "\n  ") if last_lines else ""
        super().__init__(f"{name!r}: rank {rank} {reason}{told}")

    def __reduce__(self) -> tuple[type[NotReadyError], tuple[str, int, str, int | None, str]]:
        return type(self), (self.name, self.rank, self.reason, self.exitcode, self.last_lines)
