"""``openapi.json`` for tests: as it is, with its references followed, and the examples in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import queuey.http.v2.description

FILE: Final = Path(queuey.http.v2.description.__file__).with_name("openapi.json")
METHODS: Final = ("get", "put", "post", "patch", "delete")

_DOCUMENT: Final = json.loads(FILE.read_bytes())
_SCHEMAS: Final = _DOCUMENT["components"]["schemas"]

ID: Final[str] = _SCHEMAS["MessageId"]["examples"][0]
TIME: Final[str] = _SCHEMAS["Timestamp"]["examples"][0]
CURSOR: Final[str] = _SCHEMAS["Cursor"]["examples"][0]
RECEIPT: Final[str] = _SCHEMAS["Receipt"]["examples"][0]


def document() -> Any:
    """Return the description as it is written."""
    return copy.deepcopy(_DOCUMENT)


def inlined() -> Any:
    """Return the description with what is referred to in the place of each reference.

    Members beside a ``$ref`` add to what it refers to, or replace it.
    """
    return _followed(_DOCUMENT)


def _followed(value: Any) -> Any:
    if isinstance(value, list):
        return [_followed(item) for item in value]
    if not isinstance(value, dict):
        return value
    own = {name: _followed(member) for name, member in value.items() if name != "$ref"}
    return {**_followed(resolved(_DOCUMENT, value["$ref"])), **own} if "$ref" in value else own


def resolved(description: Any, reference: str) -> Any:
    """Return what a reference refers to."""
    found = description
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def operations(description: Any) -> Iterator[tuple[str, str, Any]]:
    """Give each method at each path."""
    for path, item in description["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def codes_of(response: Any) -> list[str]:
    """Return the codes that a refusal may have; its references have to be followed."""
    found: list[str] = response["x-problem-codes"]
    return found
