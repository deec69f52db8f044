"""The JSON of bodies: decoded strictly, or refused as v2 refuses bodies."""

from __future__ import annotations

from typing import Any

from queuey.http.answers.problems import Problem
from queuey.http.inputs.json_size import MAX_VALUES, TOO_MANY, has_too_many_values
from queuey.model.strict_json import NotJSON, decoded, has_half_pair


def invalid_body(pointer: str, detail: str) -> Problem:
    """The problem of a body that has one thing wrong, at the place of a JSON pointer."""
    return Problem("invalid-body", detail, errors=({"pointer": pointer, "detail": detail},))


def strict_json(data: bytes) -> Any:
    """Decode a body.

    :raise Problem: the bytes are not strict JSON, or have too many values.
    """
    if len(data) > MAX_VALUES and has_too_many_values(data):
        raise invalid_body("", TOO_MANY)
    try:
        value = decoded(data)
    except NotJSON as error:
        raise invalid_body("", f"{error}.") from None
    if has_half_pair(data, value):
        raise invalid_body("", "The JSON has a text with half of a surrogate pair.")
    return value
