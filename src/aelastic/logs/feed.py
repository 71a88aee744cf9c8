"""The captured lines of a run for any number of live consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aelastic.decide.lines import LineAssembler, Piece
from aelastic.events import LogLine
from aelastic.logs.subscription import Subscription

if TYPE_CHECKING:
    from aelastic.logs.history import History
    from aelastic.std import Std


class Feed:
    """Hands lines to the subscriptions that want them."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[Subscription[LogLine], int | None, Std]] = []
        self._streams: list[FeedStream] = []
        self._closed = False

    def stream(self, rank: int, stream: Std, history: History) -> FeedStream:
        """One stream of one rank, whose last output is in ``history``."""
        made = FeedStream(self, rank, stream, history)
        self._streams.append(made)
        return made

    def subscribe(self, rank: int | None, streams: Std, capacity: int) -> Subscription[LogLine]:
        """A subscription to ``streams`` of ``rank`` (None: of all), beginning with what is still remembered."""
        subscription: Subscription[LogLine] = Subscription(capacity)
        for stream in self._streams:
            if rank in (None, stream.rank) and stream.stream in streams:
                stream.replay(subscription)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions.append((subscription, rank, streams))
        return subscription

    def wanted_by(self, rank: int, stream: Std) -> list[Subscription[LogLine]]:
        """The open subscriptions that want this stream."""
        self._subscriptions = [entry for entry in self._subscriptions if not entry[0].closed]
        return [one for one, wanted, streams in self._subscriptions if wanted in (None, rank) and stream in streams]

    def close(self) -> None:
        """The run is over."""
        self._closed = True
        for subscription, _, _ in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()


class FeedStream:
    """Assembles the lines of one stream of one rank while somebody wants them."""

    def __init__(self, feed: Feed, rank: int, stream: Std, history: History) -> None:
        self.rank = rank
        self.stream = stream
        self._feed = feed
        self._history = history
        self._assembler: LineAssembler | None = None
        self._ended = False

    def replay(self, subscription: Subscription[LogLine]) -> None:
        """Give ``subscription`` the remembered lines; it gets the rest of an unfinished one with the next bytes."""
        assembler = LineAssembler(progress_interval=0)
        self._publish(assembler.feed(self._history.whole_lines()), self._history.at, [subscription])
        if self._ended:
            self._publish(assembler.finish(), self._history.at, [subscription])
        elif self._assembler is None:
            self._assembler = assembler

    def feed(self, block: bytes, at: float) -> None:
        """Take bytes of the stream, read at ``at``."""
        subscriptions = self._feed.wanted_by(self.rank, self.stream)
        if not subscriptions:
            self._assembler = None
            return
        if self._assembler is None:
            self._assembler = LineAssembler(progress_interval=0)
        self._publish(self._assembler.feed(block, at), at, subscriptions)

    def finish(self, at: float) -> None:
        """The stream is over."""
        self._ended = True
        if self._assembler is not None:
            self._publish(self._assembler.finish(), at, self._feed.wanted_by(self.rank, self.stream))

    def _publish(self, piece: Piece, at: float, subscriptions: list[Subscription[LogLine]]) -> None:
        if not piece.data:
            return
        lines = piece.data.decode(errors="replace").split("\n")
        last = lines.pop()
        for text in lines:
            _publish(LogLine(self.rank, self.stream, text, at), subscriptions)
        if last:
            _publish(LogLine(self.rank, self.stream, last, at, partial=not self._ended), subscriptions)


def _publish(line: LogLine, subscriptions: list[Subscription[LogLine]]) -> None:
    for subscription in subscriptions:
        subscription.publish(line)
