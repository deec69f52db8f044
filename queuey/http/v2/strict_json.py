"""Strict JSON: no name twice in an object, no constants outside the standard, only texts that can be encoded again."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

from queuey.http.json_size import MAX_VALUES, TOO_MANY, has_too_many_values
from queuey.http.problems import Problem
from queuey.model.text import shown

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def invalid_body(pointer: str, detail: str) -> Problem:
    """The problem of a body that has one thing wrong, at the place of a JSON pointer."""
    return Problem("invalid-body", detail, errors=({"pointer": pointer, "detail": detail},))


def strict_json(data: bytes) -> Any:
    """The value that JSON in UTF-8 is, of which every text can be encoded again, and no object has a name twice.

    :raise Problem: where the bytes are not such JSON.
    """
    if len(data) > MAX_VALUES and has_too_many_values(data):
        raise invalid_body("", TOO_MANY)
    try:
        text = data.decode("utf-8")
        if text[:1] in _SPACE or text[-1:] in _SPACE:
            text = text.strip(_SPACE)
        value, end = _decode(text)
        if end < len(text):
            raise ValueError("something follows the value")
        if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None:
            raise invalid_body("", "The JSON has a text with half of a surrogate pair.")
    except UnicodeDecodeError:
        raise invalid_body("", "The body is not UTF-8 text.") from None
    except _Doubled as doubled:
        raise invalid_body("", f'The JSON has the name "{doubled}" twice in one object.') from None
    except (ValueError, RecursionError):
        raise invalid_body("", "The body is not JSON.") from None
    return value


class _Doubled(Exception):
    """An object has a name twice; which of the two counts, readers do not agree on."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise _Doubled(shown(name))
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_SPACE: Final = " \t\n\r"
_decode: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant).raw_decode
