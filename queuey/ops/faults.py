"""JSON-RPC errors: its own codes, with the error words of the second API in ``data``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from queuey import errors
from queuey.http.answers import problems
from queuey.http.connection.limits import Refusal

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REFUSED: Final = -32000
"""The code of all errors that have a word of ours, which is more precise."""

Members = Mapping[str, Any]


class Failed(Exception):
    """The error of a call.

    :ivar code: of JSON-RPC.
    :ivar word: our stable code.
    :ivar members: what else ``data`` has.
    """

    def __init__(self, code: int, word: str, text: str, members: Members = MappingProxyType({})) -> None:
        super().__init__(text)
        self.code = code
        self.word = word
        self.text = text
        self.members = members

    @property
    def document(self) -> dict[str, Any]:
        """The error object."""
        data = {"code": self.word, "applied": "no", "retryable": False, **self.members}
        return {"code": self.code, "message": self.text, "data": data}


def parse_error(text: str) -> Failed:
    """Return the error for a body that is not JSON."""
    return Failed(PARSE_ERROR, "malformed-request", text)


def invalid_request(text: str) -> Failed:
    """Return the error for JSON that is not a call."""
    return Failed(INVALID_REQUEST, "malformed-request", text)


def no_such_method(name: str) -> Failed:
    """There is no such method; the text does not repeat long names."""
    shown = name if len(name) <= 60 else f"{name[:60]}..."
    return Failed(METHOD_NOT_FOUND, "no-such-method", f"There is no method {shown!a}; system.listMethods names them.")


def invalid_params(wrong: Mapping[str, str], in_all: str = "") -> Failed:
    """Parameters are wrong; each with its mistake.

    :param in_all: a sentence with their number, if these are not all.
    """
    text = "; ".join(f"{name} {what}" for name, what in wrong.items()) + (f". {in_all}" if in_all else "")
    found = [{"parameter": name, "detail": what} for name, what in wrong.items()]
    return Failed(INVALID_PARAMS, "invalid-parameters", text, {"errors": found})


def internal(incident: str) -> Failed:
    """A defect of ours, which the log has."""
    text = f"Something went wrong here; the log has it as incident {incident}."
    return Failed(INTERNAL_ERROR, "internal", text, {"applied": "unknown", "incident": incident})


def of(error: errors.QueueyError) -> Failed:
    """Return the JSON-RPC error for an error of Queuey."""
    if isinstance(error, errors.InvalidRequest):
        return invalid_params(error.problems)
    problem = problems.of(error)
    retryable = problems.CODES[problem.code].retryable and not _lasts(error)
    members = {"applied": problem.applied, "retryable": retryable, **problem.members}
    return Failed(REFUSED, problem.code, problem.detail, members)


def of_refusal(refusal: Refusal) -> Failed:
    """Say why a request was refused before it was read as a call, such as for its size."""
    problem = problems.of_refusal(refusal)
    retryable = problems.CODES[problem.code].retryable
    return Failed(INVALID_REQUEST, problem.code, refusal.text, {"retryable": retryable, **problem.members})


def _lasts(error: errors.QueueyError) -> bool:
    """Whether a call fails until an operator has changed something, although others with its code may succeed."""
    return isinstance(error, errors.AlreadyThere) or (
        isinstance(error, errors.StorageFull) and error.limit in _LASTING_LIMITS
    )


_LASTING_LIMITS: Final = ("keys", "applications")
"""Limits that only a call of another method can make room for."""
