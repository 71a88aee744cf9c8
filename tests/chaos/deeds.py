"""What the ranks of a gang said they did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Deed:
    """One line of the file, see ``rank``. ``birth``: of its process, in clock ticks since the boot."""

    what: str
    rank: int
    pid: int
    birth: int
    at: float
    detail: str

    @classmethod
    def of(cls, line: str) -> Deed:
        """Read it."""
        what, rank, pid, birth, at, *detail = line.split(" ")
        return cls(what, int(rank), int(pid), int(birth), float(at), " ".join(detail))


@dataclass(frozen=True, slots=True)
class Ending:
    """A rank was about to end by itself, with exit code ``code``."""

    code: int
    at: float


class Deeds:
    """All deeds of a gang."""

    def __init__(self, deeds: Sequence[Deed]) -> None:
        self._deeds = deeds

    @classmethod
    def read(cls, path: str) -> Deeds:
        """What the file at ``path`` says."""
        return cls([Deed.of(line) for line in Path(path).read_text().splitlines()])

    def ending(self, rank: int) -> Ending | None:
        """How ``rank`` ended by itself, if it came to that."""
        found = [deed for deed in self._of(rank) if deed.what == "ending"]
        return Ending(int(found[0].detail), found[0].at) if found else None

    def leader(self, rank: int) -> int | None:
        """The pid of ``rank``, once it lived."""
        return next((deed.pid for deed in self._of(rank) if deed.what == "born"), None)

    def said(self, rank: int, stream: int) -> tuple[int, int]:
        """How many bytes ``rank`` has surely written to ``stream``, and how many at most."""
        return tuple(self._bytes(what, rank, stream) for what in ("said", "saying"))  # type: ignore[return-value]

    def alive(self, *kinds: str) -> set[tuple[int, int]]:
        """Rank and pid of who was born, escaped or detached, and still runs; another's pid may be anybody's now."""
        told = [deed for deed in self._deeds if deed.what in kinds]
        return {(deed.rank, deed.pid) for deed in told if _birth_of_living(deed.pid) == deed.birth}

    def all(self, kind: str) -> set[tuple[int, int]]:
        """Rank and pid of who ever was born, escaped or detached."""
        return {(deed.rank, deed.pid) for deed in self._deeds if deed.what == kind}

    def _of(self, rank: int) -> list[Deed]:
        return [deed for deed in self._deeds if deed.rank == rank]

    def _bytes(self, what: str, rank: int, stream: int) -> int:
        told = [deed.detail.split() for deed in self._of(rank) if deed.what == what]
        return max((int(count) for number, count in told if int(number) == stream), default=0)


def _birth_of_living(pid: int) -> int | None:
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])
