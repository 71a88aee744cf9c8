"""What waits for a consumer, taken at once."""

from __future__ import annotations

from aelastic.logs.subscription import Subscription


def test_all_that_waits_can_be_taken_at_once() -> None:
    subscription: Subscription[int] = Subscription(3)
    assert subscription.take() == []
    subscription.publish(1, 2, 3, 4)
    assert subscription.take() == [2, 3, 4]
    assert subscription.take() == []
    assert subscription.dropped == 1
    subscription.publish(5)
    subscription.close()
    assert subscription.take() == [5], "also after its end"
