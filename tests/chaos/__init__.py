"""Chaos: gangs drawn from a seed, run for real, and judged from outside.

``draw`` makes a plan from a seed, ``rank`` is what its processes do, ``acts`` what the application does meanwhile,
``scene`` runs it all, and ``judge``, ``logs`` and ``traces`` look at what came of it. ``python -m tests.chaos`` runs
for as long as it is told to.
"""
