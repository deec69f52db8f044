"""The answers to the calls of one request, bounded in bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from queuey.ops import faults
from queuey.ops.faults import Failed

MAX_ANSWERS: Final = 16 << 20
"""Bytes of the answers to a batch; when they have that many, the other calls are not made."""

MAX_ERRORS: Final = 24 * 1024
"""Bytes of errors with their details in the answer to a batch; the others are short, and all are below 64 KiB."""

_SHORT: Final = 60
"""Characters of the message of a short error."""

MAX_COST: Final = 10
"""Calls after which others have their turn; each KiB of an answer counts as one more."""


class Answers:
    """The answers to the calls of a batch, as JSON."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._size = 0
        self._refused = 0
        self._cost = 0

    def is_time_to_pause(self) -> bool:
        """Return whether other work has to get a turn before the next call; if so, reset the count."""
        if self._cost < MAX_COST:
            return False
        self._cost = 0
        return True

    @property
    def full(self) -> Failed | None:
        """Return the error for the remaining calls of a batch if their answers would be too large."""
        if self._size <= MAX_ANSWERS:
            return None
        return faults.invalid_request(f"The answers to this batch have {MAX_ANSWERS} bytes; this call was not made.")

    def add(self, answer: dict[str, Any] | None) -> None:
        """Add an answer; ``None`` for a notification. After many bytes of errors, further ones are shortened."""
        self._cost += 1
        if answer is None:
            return
        text = encoded(answer)
        if "error" in answer:
            if self._refused + len(text) > MAX_ERRORS:
                text = encoded({**answer, "error": _short(answer["error"])})
            self._refused += len(text)
        self._texts.append(text)
        self._size += len(text)
        self._cost += len(text) // 1024

    def whole(self) -> bytes | None:
        """Return all answers; ``None`` if there are none."""
        return b"[%b]" % b",".join(self._texts) if self._texts else None


def _short(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error object without the details."""
    data = {name: error["data"][name] for name in ("code", "applied", "retryable") if name in error["data"]}
    text = error["message"].encode("ascii", "replace").decode("ascii")
    return {"code": error["code"], "message": text[:_SHORT] + "..." if len(text) > _SHORT else text, "data": data}


def encoded(document: Any) -> bytes:
    """An answer as JSON."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")
