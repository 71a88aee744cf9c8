"""Events in their order; of what a rank tells of itself, only the latest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.journal import Journal
from aelastic.events import Event, RankExited, RankProgress, RankReady, RankStarted, RankStatus

EVENTS = st.lists(
    st.one_of(
        st.builds(RankStatus, st.integers(0, 2), st.sampled_from("ab"), st.just(0.0)),
        st.builds(RankProgress, st.integers(0, 2), st.floats(0, 9), st.none(), st.just(0.0)),
        st.builds(RankReady, st.integers(0, 2), st.just(0.0)),
    )
)


def journal(*events: Event) -> Journal:
    made = Journal()
    made.extend(events)
    return made


def test_everything_that_happens_once_is_kept_in_order() -> None:
    events: list[Event] = [RankStarted(0, 1, 0.0), RankReady(0, 1.0), RankExited(0, 1, 0, collateral=False, time=2.0)]
    assert list(journal(*events)) == events


def test_the_same_event_twice_is_two() -> None:
    assert len(journal(RankReady(0, 1.0), RankReady(0, 1.0))) == 2


def test_a_new_status_comes_last_and_the_old_one_is_gone() -> None:
    old, ready, new = RankStatus(0, "old", 0.0), RankReady(0, 1.0), RankStatus(0, "new", 2.0)
    assert list(journal(old, ready, new)) == [ready, new]


def test_ranks_and_kinds_do_not_push_each_other_out() -> None:
    events: list[Event] = [RankStatus(0, "x", 0.0), RankStatus(1, "x", 0.0), RankProgress(0, 1.0, None, 0.0)]
    assert list(journal(*events)) == events


def test_what_was_taken_is_gone_and_the_next_status_is_kept() -> None:
    one = journal(RankStatus(0, "old", 0.0), RankReady(0, 1.0))
    assert one.popleft() == RankStatus(0, "old", 0.0)
    one.extend([RankStatus(0, "new", 2.0)])
    assert [one.popleft(), one.popleft()] == [RankReady(0, 1.0), RankStatus(0, "new", 2.0)]
    assert len(one) == 0


@given(EVENTS)
def test_any_history_is_bounded_ordered_and_complete(events: list[Event]) -> None:
    kept = list(journal(*events))
    once = [event for event in events if isinstance(event, RankReady)]
    assert [event for event in kept if isinstance(event, RankReady)] == once
    assert len(kept) <= len(once) + 6
    for rank in range(3):
        for kind in (RankStatus, RankProgress):
            mine = [event for event in events if isinstance(event, kind) and event.rank == rank]
            assert [event for event in kept if isinstance(event, kind) and event.rank == rank] == mine[-1:]
