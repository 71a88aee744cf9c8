"""What a request is about: names and numbers are looked up among what there is, and lead nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from aelastic.web.views import snapshot_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from aelastic.web.sources import Named, Sources, Watched


class Lookup:
    """Among ``sources``. What is not there is an ``HTTPException``."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def named(self, request: Request) -> Named:
        """The run that the path names; it may be absent."""
        found = self._sources.get(request.path_params["run"])
        if found is None:
            raise HTTPException(404, "there is no run of that name")
        return found

    def watched(self, request: Request) -> Watched:
        """The run that the path names, which must be there."""
        found = self.named(request).watched
        if found is None:
            raise HTTPException(409, "this run is not there yet")
        return found

    def rank(self, request: Request, watched: Watched) -> int:
        """The rank that the path names."""
        rank = _ranks_of(watched).get(request.path_params["rank"])
        if rank is None:
            raise HTTPException(404, "there is no such rank")
        return rank

    def ranks(self, request: Request, watched: Watched) -> frozenset[int] | None:
        """Those that ``?ranks=0,3`` chooses among what is there; None: all."""
        text = request.query_params.get("ranks")
        if text is None:
            return None
        there = _ranks_of(watched)
        return frozenset(there[one] for one in text.split(",") if one in there)


def _ranks_of(watched: Watched) -> dict[str, int]:
    """As they are written in addresses."""
    return {str(rank): rank for rank in snapshot_of(watched)}


def number(request: Request, name: str, default: int | None, most: int) -> int | None:
    """A number of the query, from 0 to ``most``."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise HTTPException(422, f"{name}: expected a number, 0 or more")
    return min(int(text), most)
