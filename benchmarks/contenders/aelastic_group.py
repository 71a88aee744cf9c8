"""aelastic that looks for nothing that leaves its rank's process group, as all others do."""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import aelastic_

gang = partial(aelastic_.gang, containment="group")
