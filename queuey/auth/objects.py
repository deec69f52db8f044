"""JSON objects from issuers and verifiers, and the times in them."""

from __future__ import annotations

import math
from typing import Any

from queuey.model.strict_json import decoded


def json_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    :raise ValueError: the bytes are not such an object, or not strict JSON.
    """
    found = decoded(data)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")
    return found


def moment(value: Any) -> float | None:
    """Return a JSON number that is a time; ``None`` for anything else."""
    if type(value) not in (int, float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
