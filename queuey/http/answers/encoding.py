"""Values as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

Field = tuple[bytes, bytes]
"""A header field: its name and its value."""

JSON: Final[Field] = (b"Content-Type", b"application/json")

encode: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
"""Return a value as compact JSON, with everything outside ASCII escaped."""


def encoded(value: Any) -> bytes:
    """Return a value as compact JSON, with everything outside ASCII escaped, since old clients guess the encoding."""
    return encode(value).encode("ascii")


def json_line(value: Any) -> bytes:
    """Return a value as JSON with a newline at its end, so that it does not run into the prompt of a shell.

    Answers of v2 have it.
    """
    return encoded(value) + b"\n"
