"""The fault scenarios, by their numbers."""

from __future__ import annotations

from benchmarks.faults.scenarios import asking, beginning, failing, families, logs, stopping, values, waiting

SCENARIOS = sorted(
    (
        *families.SCENARIOS,
        *waiting.SCENARIOS,
        *failing.SCENARIOS,
        *values.SCENARIOS,
        *beginning.SCENARIOS,
        *asking.SCENARIOS,
        *stopping.SCENARIOS,
        *logs.SCENARIOS,
    ),
    key=lambda one: one.name[:2],
)
