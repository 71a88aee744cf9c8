"""Limits of the system: refused before the first process, with what is needed, what there is, and what to do."""

from __future__ import annotations

import errno
import json
import re
import resource
from typing import TYPE_CHECKING

import pytest

from aelastic.decide.descriptors import RESERVE
from tests.helpers.apps import LOOPS, Application
from tests.helpers.limits import births, soft_limit
from tests.helpers.ranks import redirected, shell
from tests.without_pidfds.sitecustomize import PIDFDS

if TYPE_CHECKING:
    from pathlib import Path

SLEEPING = "exec sleep 600"
KINDS = (
    *("program-none", "program-out", "program-all", "program-tee"),
    *("spawn-none", "spawn-all", "spawn-large", "fork-none", "fork-all", "forkserver-none", "forkserver-all"),
)
COUNT = 12
SMALL = 4  # descriptors of a console that is never slow, and the like


# Descriptors


@pytest.mark.skipif(not PIDFDS, reason="a pidfd per rank is reckoned with")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_said_to_be_needed_is_enough_and_hardly_more_than_that(loop: str, kind: str, tmp_path: Path) -> None:
    with Application("app_needs_descriptors", loop, kind, tmp_path, COUNT) as app:
        ended = app.ended()
        assert ended.code == 0, ended.err  # a fork server that is cut off says so there
        report = json.loads(ended.out)
        needed, least = report["needed"], report["least"]
        assert report["enough"]
        assert least <= needed <= least + RESERVE + SMALL
        for (said, made), left in zip(report["refusals"], (1, needed - 1), strict=True):
            assert f"{needed} file descriptors, and {left} are left" in said
            assert made == []
        assert app.survivors() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("limit", "count"), [(64, 30), (1024, 1000)])
async def test_too_many_ranks_for_the_usual_limits_are_refused_before_the_first(
    limit: int, count: int, tmp_path: Path
) -> None:
    with births() as made, soft_limit(resource.RLIMIT_NOFILE, limit), pytest.raises(OSError, match="open") as caught:
        await shell(*[SLEEPING] * count, logs_specs=redirected(tmp_path))
    assert caught.value.errno == errno.EMFILE
    needed, left, soft = map(int, re.findall(r"(\d+) file descr.* (\d+) are left of the (\d+)", str(caught.value))[0])
    assert 6 * count <= needed < 6 * count + 20  # two pipes of two ends, and two files
    assert left < soft == limit
    assert made == []
