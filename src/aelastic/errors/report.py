"""Understanding the content of an error file. Total: bad content is an answer, never an exception."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LARGEST_REPORT = 4 * 1024 * 1024
_DEEPEST = 100  # torch's format has three levels; thousands can be read, but not be copied, pickled or shown


@dataclass(frozen=True, slots=True)
class Report:
    """What an error file says; every text in it can be encoded.

    ``timestamp`` is in whole seconds since the epoch, None when the file has none.
    """

    data: dict[str, Any]
    message: str | dict[str, Any]
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why an error file could not be understood."""

    problem: str


def parse_report(content: bytes) -> Report | Unreadable:
    """Understand torch's two formats of an error file: a structured message, or a text with a time beside it.

    At most ``LARGEST_REPORT`` bytes.
    """
    if len(content) > LARGEST_REPORT:
        return Unreadable("it is too large")
    try:
        data = _usable(json.loads(content), _DEEPEST)
    except RecursionError:
        return Unreadable("its JSON is nested too deeply")
    except ValueError as error:
        return Unreadable(f"it is not JSON ({error})" if content else "it is empty")
    message = data.get("message") if isinstance(data, dict) else None
    if isinstance(message, str):
        return Report(data, message, _seconds(data.get("timestamp")))
    if isinstance(message, dict):
        info = message.get("extraInfo")
        return Report(data, message, _seconds(info.get("timestamp") if isinstance(info, dict) else None))
    return Unreadable("it has no message")


def _usable(value: Any, depth: int) -> Any:
    """``value`` with texts that can be encoded. Raises ``RecursionError`` when it is nested deeper than ``depth``."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()  # a file name that is no Unicode, as Python has it
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise RecursionError
    if isinstance(value, list):
        return [_usable(item, depth - 1) for item in value]
    return {_usable(key, 0): _usable(item, depth - 1) for key, item in value.items()}


def _seconds(value: object) -> int | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None
