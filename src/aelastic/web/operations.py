"""What can be asked for: each operation once, for the router and for its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp

from aelastic.web.values import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

Handler: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]

RUN = ("run", "string", "The name of a run")
RANK = ("rank", "integer", "The number of a rank")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the query, of the JSON Schema type ``kind``."""

    name: str
    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Operation:
    """``answer`` is the type of the JSON that it gives, None for nothing; ``media``: what it gives instead of JSON.

    ``errors`` are status codes beside 200 (204, when there is no answer), with what they mean; ``refusal`` is the type
    of the JSON that comes with them.
    """

    name: str
    method: str
    path: str
    about: str
    handler: Handler
    answer: type | None = None
    media: str = ""
    query: tuple[Parameter, ...] = ()
    body: type | None = None
    errors: Mapping[int, str] | None = None
    refusal: type = Problem
    needs_token: bool = False


def described(operations: tuple[Operation, ...], version: str) -> dict[str, Any]:
    """The OpenAPI description of ``operations``."""
    types = {one for operation in operations for one in (operation.answer, operation.body) if one is not None}
    in_order = sorted(types | {Problem}, key=lambda one: one.__name__)
    _, schemas = msgspec.json.schema_components(in_order, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "aelastic", "version": version, "description": "Runs, their ranks, and what these write."},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    in_path = [one for one in (RUN, RANK) if f"{{{one[0]}}}" in operation.path]
    parameters = [_parameter("path", *one) for one in in_path]
    if "{stream}" in operation.path:
        stream = _parameter("path", "stream", "string", "Which of its streams")
        parameters.append(stream | {"schema": {"type": "string", "enum": ["stdout", "stderr"]}})
    parameters += [_parameter("query", one.name, one.kind, one.about) for one in operation.query]
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.about,
        "parameters": parameters,
        "responses": _responses(operation),
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": _content(operation.body, "")}
    if operation.needs_token:
        found["security"] = [{"token": []}]
    return found


def _parameter(place: str, name: str, kind: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "description": about, "schema": {"type": kind}}


def _responses(operation: Operation) -> dict[str, Any]:
    has_answer = operation.answer is not None or operation.media
    good: dict[str, Any] = {"description": "As asked for"}
    if has_answer:
        good["content"] = _content(operation.answer, operation.media)
    errors = dict(operation.errors or {})
    if operation.needs_token:
        errors[401] = "The token is missing or wrong"
    bad = {
        str(code): {"description": about, "content": _content(operation.refusal, "")}
        for code, about in sorted(errors.items())
    }
    return {"200" if has_answer else "204": good} | bad


def _content(value: type | None, media: str) -> dict[str, Any]:
    if media:
        return {media: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{value.__name__ if value else ''}"}}}
