"""The error that carries all failures of a run and renders them as torch does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aelastic.errors.base import AelasticError
from aelastic.errors.failure import NOT_AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aelastic.errors.failure import ProcessFailure

_WIDEST_BORDER = 60


class ChildFailedError(AelasticError):
    """Ranks failed. ``failures`` maps the rank to its failure; the text is torch's box.

    Raises ``ValueError`` when built without a failure.
    """

    def __init__(self, name: str, failures: Mapping[int, ProcessFailure]) -> None:
        if not failures:
            raise ValueError("a ChildFailedError needs at least one failure")
        self.name = name
        self.failures = dict(failures)
        super().__init__(self.format_msg())

    def __reduce__(self) -> tuple[type[ChildFailedError], tuple[str, dict[int, ProcessFailure]]]:
        return type(self), (self.name, self.failures)

    def get_first_failure(self) -> tuple[int, ProcessFailure]:
        """The root cause: the earliest exit that aelastic did not bring about, with its rank."""
        return min(self.failures.items(), key=lambda item: _order(item[1]))

    def format_msg(self) -> str:
        """The failures as a box: the others first, the root cause last. Torch's layout, plus the stderr tail."""
        root_rank, _ = self.get_first_failure()
        texts = {
            rank: _format_failure(index, rank, failure) for index, (rank, failure) in enumerate(self.failures.items())
        }
        title = f"{self.name} FAILED"
        widest = max(len(line) for text in (title, *texts.values()) for line in text.split("\n"))
        border, rule = ("=" * min(widest, _WIDEST_BORDER)), ("-" * min(widest, _WIDEST_BORDER))
        others = [text for rank, text in texts.items() if rank != root_rank] or ["  <NO_OTHER_FAILURES>"]
        return "\n".join(
            [
                "", border, title, rule, "Failures:", *others, rule,
                "Root Cause (first observed failure):", texts[root_rank], border,
            ]
        )  # fmt: skip


def _order(failure: ProcessFailure) -> tuple[bool, float]:
    return failure.collateral, failure.failed_at or failure.timestamp


def _format_failure(index: int, rank: int, failure: ProcessFailure) -> str:
    name, traceback = failure.signal_name(), failure.text()
    if not isinstance(failure.message, str):
        traceback = traceback.replace("\n", "\n  ")
    lines = [
        f"[{index}]:",
        f"  time      : {failure.timestamp_isoformat()}",
        f"  host      : {os.uname().nodename}",
        f"  rank      : {rank} (local_rank: {failure.local_rank})",
        f"  exitcode  : {failure.exitcode} (pid: {failure.pid}) {'' if name == NOT_AVAILABLE else f' ({name})'}",
        f"  error_file: {failure.error_file}",
        f"  traceback : {traceback}",
    ]
    if failure.error_file == NOT_AVAILABLE and failure.stderr_tail:
        lines.append("  stderr    : " + failure.stderr_tail.rstrip("\n").replace("\n", "\n    "))
    return "\n".join(lines)
