"""aelastic as it is for users who may not write to control groups: what left its group is found by a mark."""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import aelastic_

gang = partial(aelastic_.gang, containment="marker")
