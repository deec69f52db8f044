"""JSON objects that strangers wrote, read strictly."""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn


def json_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object in UTF-8, in which no name may occur twice, since parsers disagree on which of two counts.

    :raise ValueError: the bytes are not such an object.
    """
    try:
        found = _decoder.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def has_half_pair(value: Any) -> bool:
    """Whether a text in a value of JSON has half of a surrogate pair, so that it cannot be encoded as UTF-8.

    A value that is nested too deep to look at counts as one that has.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return True
    return False


def moment(value: Any) -> float | None:
    """A number of JSON that is a time; ``None`` for whatever else."""
    if type(value) not in (int, float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a name twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
