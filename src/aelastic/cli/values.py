"""From the text of an option to its value. What cannot be one raises ``ValueError`` with a sentence."""

from __future__ import annotations

import logging
import re
import signal
from typing import TYPE_CHECKING

from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("aelastic")

COUNTED = ("auto", "cpu", "gpu")
_UNCATCHABLE = frozenset({signal.SIGKILL, signal.SIGSTOP})
_COMMA = "\0"  # in place of an escaped comma; no argument of a process can hold it


def number_of_ranks(text: str) -> int | str:
    """A number, or what is to be counted."""
    if text in COUNTED:
        return text
    if text == "xpu":
        raise ValueError("XPUs are not counted here; write their number")
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise ValueError(f"{text!r} is neither a number, 1 or more, nor one of {', '.join(COUNTED)}")
    return int(text)


def count(text: str) -> int:
    """A number, 0 or more."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"{text!r} is not a number, 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """A time, 0 or more."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text):
        raise ValueError(f"{text!r} is not a number of seconds, 0 or more")
    return float(text)


def streams(text: str) -> Std | Mapping[int, Std]:
    """``3`` for every rank, or ``0:3,1:1`` by local rank. ``-r=3`` comes as ``=3``, which torchrun takes."""
    try:
        return Std.from_str(text.removeprefix("="))
    except ValueError as error:
        raise ValueError(f"{error}; 0 none, 1 stdout, 2 stderr, 3 both") from error


def ranks(text: str) -> frozenset[int] | None:
    """``0,2``; nothing for all."""
    if not text.strip():
        return None
    if not re.fullmatch(r"\s*[0-9]+\s*(,\s*[0-9]+\s*)*", text):
        raise ValueError(f"{text!r} is no list of local ranks such as 0,2")
    return frozenset(map(int, text.split(",")))


def words(text: str) -> tuple[str, ...]:
    """A comma list; ``,,`` is a comma in a word."""
    items = text.replace(",,", _COMMA).split(",")
    return tuple(item.replace(_COMMA, ",") for item in items if item)


def signals(text: str) -> tuple[signal.Signals, ...]:
    """A comma list of names. As in torchrun, one that this system does not have is warned about and left out."""
    found = []
    for name in filter(None, map(str.strip, text.split(","))):
        if name not in signal.Signals.__members__:
            logger.warning("there is no signal %r here", name)
        elif signal.Signals[name] in _UNCATCHABLE:
            raise ValueError(f"{name} cannot be received; the system acts on it by itself")
        else:
            found.append(signal.Signals[name])
    return tuple(found)


def one_node(text: str) -> str:
    """``1``, or ``1:1``: as few and as many."""
    if text not in ("1", "1:1"):
        raise ValueError(f"{text!r}: aelastic run starts the ranks of one machine; for several use torchrun")
    return text


def first_node(text: str) -> str:
    """The only one."""
    if text.strip() != "0":
        raise ValueError(f"{text!r}: aelastic run starts the ranks of one machine, which is node 0")
    return text


def local_backend(text: str) -> str:
    """Both of torchrun's that need nothing outside this machine come to the same here."""
    if text not in ("static", "c10d"):
        raise ValueError(f"{text!r} is a meeting point for several machines; aelastic run starts the ranks of one")
    return text


def nothing_to_configure(text: str) -> str:
    """Options of a rendezvous."""
    if text.strip():
        raise ValueError("it configures how several machines meet; aelastic run starts the ranks of one")
    return text


def no_event_log(text: str) -> str:
    """Torch's registry of handlers is torch's."""
    if text != "null":
        raise ValueError(f"{text!r}: handlers are registered in torch; --json writes the events of the ranks")
    return text


def endpoint(text: str) -> tuple[str, int | None] | None:
    """``host``, ``host:port`` or ``[::1]:port``; port 0 stands for any."""
    if not text:
        return None
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\s]+)(?::([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form host:port")
    return match[1], port(match[2]) if match[2] else None


def port(text: str) -> int | None:
    """A port; 0 stands for any."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port, 1 to 65535")
    return int(text) or None
