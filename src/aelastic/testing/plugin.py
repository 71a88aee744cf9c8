"""The pytest plugin. It is imported by every pytest where aelastic is installed, so it imports nothing to speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from aelastic.testing.ranks import Ranks
    from aelastic.testing.services import Services

_RANKS: pytest.StashKey[Ranks] = pytest.StashKey()
_SERVICES: pytest.StashKey[Services] = pytest.StashKey()


@pytest.fixture
def ranks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ranks]:
    """Starts ranks in the loop of the test, and stops them all at its end; see ``aelastic.testing.Ranks``.

    Their last lines and failures are in the report of a test that fails.
    """
    from aelastic.testing.ranks import Ranks

    request.node.stash[_RANKS] = made = Ranks(str(tmp_path / "ranks"))
    yield made
    if left := made.close():
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Starts ranks that all tests share, and stops them at the end of the session; see ``aelastic.testing.Services``.

    With pytest-xdist every worker has its own.
    """
    from aelastic.testing.services import Services

    with Services(tmp_path_factory.mktemp("services")) as made:
        request.session.stash[_SERVICES] = made
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell of the ranks of a test that fails."""
    report = yield
    if report.failed:
        shared = item.session.stash.get(_SERVICES, None) if "services" in getattr(item, "fixturenames", ()) else None
        for tended in (item.stash.get(_RANKS, None), shared):
            if tended is not None and (text := _report(tended)):
                report.sections.append(("aelastic ranks", text))
    return report


def _report(tended: Ranks | Services) -> str:
    """What leaves the hook ends the whole session, and pytest-timeout's exception may come at any time."""
    try:
        return tended.report()
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the outermost frame of ours
        return f"(ranks cannot be told of: {error!r})"
