"""The calls that can be made over the socket, and how each end decodes their arguments and results.

The types are taken from the annotations of a class that has the methods, so that no second list has to be kept in step.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs
import msgspec

from queuey import errors
from queuey.errors import QueueyError

CONTROL: Final = 16
"""The first kind of what is neither a call nor goes with one: see ``other`` of either end."""

CALLS: Final = 32
"""The kind of the first call."""


class FromWorker(IntEnum):
    """Kinds of items that go to the owner, beside calls."""

    CANCEL = 0
    JOIN = 1
    READY = 2
    APPEND = 3
    RENEW = 4


class FromOwner(IntEnum):
    """Kinds of items that come from the owner."""

    ANSWER = 0
    ERROR = 1
    DEFECT = 2
    ARRIVED = 3
    CHANGING = 4
    CHANGED = 5
    APPENDED = 6
    LEASE = 7
    PORTION = 8


@attrs.frozen
class ErrorRecord:
    """An error, as it is sent.

    :ivar name: of its class, in ``queuey.errors``.
    :ivar facts: its attributes.
    """

    name: str
    facts: dict[str, Any]


def error_record(error: QueueyError) -> ErrorRecord:
    """An error to be sent."""
    return ErrorRecord(type(error).__name__, dict(vars(error)))


def error_of(error: ErrorRecord) -> QueueyError:
    """The error that was sent."""
    kind: type[QueueyError] = getattr(errors, error.name)
    made = kind.__new__(kind, error.facts["text"])
    vars(made).update(error.facts)
    return made


@attrs.frozen
class StoreCall:
    """One method.

    :ivar kind: its number.
    :ivar arguments: reads what it takes.
    :ivar result: reads what its Deferred fires with.
    """

    name: str
    kind: int
    arguments: Callable[[msgspec.Raw], tuple[Any, ...]]
    result: Callable[[msgspec.Raw], Any]


def call(name: str, kind: int, method: Callable[..., Any]) -> StoreCall:
    """A method, by its annotations.

    :param method: returns a Deferred.
    """
    hints = get_type_hints(method)
    (result,) = get_args(hints.pop("return"))
    arguments = types.GenericAlias(tuple, tuple(_immutable(hint) for hint in hints.values()))
    return StoreCall(name, kind, _reader(arguments), _reader(result))


def _immutable(hint: Any) -> Any:
    """A sequence is read as a tuple, which is what callers give."""
    return types.GenericAlias(tuple, (get_args(hint)[0], ...)) if get_origin(hint) is Sequence else hint


def _reader(kind: Any) -> Callable[[msgspec.Raw], Any]:
    return msgspec.msgpack.Decoder(kind).decode
