"""The captured lines of a run for any number of live consumers."""

from __future__ import annotations

import codecs
import contextlib
import weakref
from typing import TYPE_CHECKING

from aelastic.decide.lines import LineAssembler, Piece
from aelastic.events import LogLine
from aelastic.logs.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aelastic.logs.history import History
    from aelastic.std import Std


class Feed:
    """Hands lines to the subscriptions that want them, as long as somebody holds these."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[weakref.ref[Subscription[LogLine]], int | None, Std]] = []
        self._streams: list[FeedStream] = []
        self._closed = False

    def stream(self, rank: int, stream: Std, history: History) -> FeedStream:
        """One stream of one rank, whose last output is in ``history``."""
        made = FeedStream(self, rank, stream, history)
        self._streams.append(made)
        return made

    def subscribe(self, rank: int | None, streams: Std, capacity: int, max_delay: float = 0) -> Subscription[LogLine]:
        """A subscription to ``streams`` of ``rank`` (None: of all), beginning with what is still remembered."""
        subscription: Subscription[LogLine] = Subscription(capacity, max_delay=max_delay)
        self.attach(subscription, rank, streams)
        return subscription

    def attach(self, subscription: Subscription[LogLine], rank: int | None, streams: Std) -> None:
        """Give ``subscription`` what ``subscribe`` would."""
        for stream in self._streams:
            if rank in (None, stream.rank) and stream.stream in streams:
                stream.replay(subscription)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions.append((weakref.ref(subscription), rank, streams))

    def wanted_by(self, rank: int, stream: Std) -> list[Subscription[LogLine]]:
        """The open subscriptions that want this stream."""
        alive = [(entry, one) for entry in self._subscriptions if (one := entry[0]()) is not None and not one.closed]
        self._subscriptions = [entry for entry, _ in alive]
        return [one for (_, wanted, streams), one in alive if wanted in (None, rank) and stream in streams]

    def close(self) -> None:
        """The run is over."""
        self._closed = True
        for reference, _, _ in self._subscriptions:
            if (subscription := reference()) is not None:
                subscription.close()
        self._subscriptions.clear()


class FeedStream:
    """One stream of one rank. Its lines are assembled only while somebody wants them."""

    def __init__(self, feed: Feed, rank: int, stream: Std, history: History) -> None:
        self.rank = rank
        self.stream = stream
        self._feed = feed
        self._history = history
        self._texts: _Texts | None = None
        self._held: list[Subscription[LogLine]] | None = None
        self._ended = False

    @property
    def is_wanted(self) -> bool:
        """Whether anybody looks on."""
        return bool(self._feed.wanted_by(self.rank, self.stream))

    def can_wait(self, seconds: float) -> bool:
        """Whether all who look on let lines come so late."""
        return all(one.max_delay >= seconds for one in self._feed.wanted_by(self.rank, self.stream))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The history is behind: whoever comes now gets it when it is complete again."""
        self._texts, self._held = None, []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for subscription in held:
                self.replay(subscription)

    def replay(self, subscription: Subscription[LogLine]) -> None:
        """Give ``subscription`` the remembered lines; it gets the rest of an unfinished one with the next bytes."""
        if self._held is not None:
            self._held.append(subscription)
            return
        texts = _Texts()
        self._publish(texts.feed(self._history.whole_lines(), self._history.at), self._history.at, [subscription])
        if self._ended:
            self._publish(texts.finish(), self._history.at, [subscription])
        elif self._texts is None:
            self._texts = texts

    def feed(self, block: bytes, at: float) -> None:
        """Take bytes of the stream, read at ``at``."""
        subscriptions = self._feed.wanted_by(self.rank, self.stream)
        if not subscriptions:
            self._texts = None
            return
        if self._texts is None:
            self._texts = _Texts()
        self._publish(self._texts.feed(block, at), at, subscriptions)

    def finish(self, at: float) -> None:
        """The stream is over."""
        self._ended = True
        if self._texts is not None:
            self._publish(self._texts.finish(), at, self._feed.wanted_by(self.rank, self.stream))

    def _publish(self, texts: list[str], at: float, subscriptions: Sequence[Subscription[LogLine]]) -> None:
        """The last of ``texts`` is what stands behind the last line end, if anything does."""
        most = max((subscription.capacity for subscription in subscriptions), default=0)
        rest = texts.pop()
        lines = [LogLine(self.rank, self.stream, text, at) for text in texts[-most:]]
        if rest:
            lines.append(LogLine(self.rank, self.stream, rest, at, partial=not self._ended))
        for subscription in subscriptions:
            subscription.publish(*lines, missed=len(texts[:-most]))


class _Texts:
    """From the bytes of one stream to the texts of its lines."""

    def __init__(self) -> None:
        self._assembler = LineAssembler(progress_interval=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, block: bytes, at: float) -> list[str]:
        """The lines that can be shown now, and what stands behind the last line end."""
        return self._split(self._assembler.feed(block, at))

    def finish(self) -> list[str]:
        """The same at the end of the stream."""
        return self._split(self._assembler.finish(), final=True)

    def _split(self, piece: Piece, *, final: bool = False) -> list[str]:
        return self._decoder.decode(piece.data, final).split("\n")
