"""Requests of the Query protocol: forms and queries, whose fields become the members that JSON would have."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from queuey.deferreds import TurnQueue
from queuey.http.sqs.errors import NO_OPERATION, SqsError, is_of_queue, not_valid
from queuey.http.sqs.operations import Kind, Member
from queuey.http.wire import Request

VERSION: Final = "2012-11-05"

MAX_FIELDS: Final = 2000
"""Maximum number of fields; a batch of ten messages with ten attributes each has fewer than 500."""

SLICE: Final = 64 << 10
"""Bytes of a form that are decoded in one turn of the reactor: up to 10 ms if all of them are percent-encoded."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_ESCAPE: Final = 3
"""Bytes of an escape sequence."""

MAX_FIELD_NAME: Final = 300
"""Bytes of a field's name that are looked at."""

_ON_ALL: Final = frozenset(("CreateQueue", "ListQueues"))
"""Operations that are not on a queue."""

_INDEX: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_ENTRIES: Final = {
    "SendMessageBatch": "SendMessageBatchRequestEntry",
    "DeleteMessageBatch": "DeleteMessageBatchRequestEntry",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibilityBatchRequestEntry",
}
_FLAT: Final = {"tags": "Tag", "Actions": "ActionName"}
"""Lists and maps whose fields are not called as one of their items."""


async def fields(form: bytes, turns: TurnQueue) -> dict[str, str]:
    """Return the fields of a form, or of the query of a URL; of those that are given twice the last.

    :raise SqsError: it is no form, or has too many fields.
    """
    decoding = _decoding(form)
    while True:
        try:
            next(decoding)
        except StopIteration as end:
            found: dict[str, str] = end.value
            return found
        except ValueError:
            raise SqsError("SerializationException", "The request is not a form of SQS.") from None
        await turns.next()


def _decoding(form: bytes) -> Generator[None, None, dict[str, str]]:
    """Decode a form, a slice at a time; return its fields.

    :raise ValueError: it is not ASCII, a field is not UTF-8, or there are too many of them.
    """
    if not form.isascii() or form.count(b"&") >= MAX_FIELDS:
        raise ValueError
    found: dict[str, str] = {}
    done = 0
    for field in form.split(b"&"):
        name, equals, value = field.partition(b"=")
        if not name and not equals:
            continue
        pieces: list[bytes] = []
        at = 0
        while at < len(value) or not pieces:
            end = _end(value, at, at + SLICE - done)
            pieces.append(unquote_to_bytes(value[at:end].replace(b"+", b" ")))
            done += end - at
            at = end
            if done >= SLICE - _ESCAPE:
                yield
                done = 0
        found[_text(name)] = b"".join(pieces).decode()
    return found


def _text(name: bytes) -> str:
    """Return a name; none that SQS has is long, and others are not looked at."""
    return unquote_to_bytes(name[:MAX_FIELD_NAME].replace(b"+", b" ")).decode()


def _end(value: bytes, start: int, end: int) -> int:
    """Return where a slice of a value ends, so that it cuts no escape sequence in two."""
    if end >= len(value):
        return len(value)
    percent = value.rfind(b"%", max(start + 1, end - 2), end)
    return end if percent < 0 else percent


def action(given: Mapping[str, str]) -> str:
    """Return the name of the operation.

    :raise SqsError: the request names none, or is of another version.
    """
    if "Action" not in given:
        raise SqsError(NO_OPERATION, "The request names no operation.")
    if given.get("Version", VERSION) != VERSION:
        raise SqsError("InvalidParameterValueException", f"The Version of a request is {VERSION}.")
    return given["Action"]


def check_path(operation: str, path: bytes) -> None:
    """Refuse operations on all queues at the path of one.

    :raise SqsError: saying so.
    """
    if operation in _ON_ALL and is_of_queue(path):
        raise not_valid(operation)


def members(operation: str, known: tuple[Member, ...], given: Mapping[str, str], request: Request) -> dict[str, Any]:
    """Return the members of a request as JSON would have them. Values that are wrong stay as they are.

    :param known: the members of the operation.
    """
    found = _members(operation, known, given)
    if "QueueUrl" not in found and is_of_queue(request.path):
        found["QueueUrl"] = request.path.decode("ascii", "replace")
    return found


def _members(operation: str, known: tuple[Member, ...], given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member in known:
        if member.kind in (Kind.TEXT, Kind.NUMBER):
            if member.name in given:
                text = given[member.name]
                is_number = member.kind is Kind.NUMBER and _NUMBER.fullmatch(text) is not None
                found[member.name] = int(text) if is_number else text
            continue
        items = _numbered(given, _ENTRIES.get(operation, "") if member.kind is Kind.ENTRIES else _flat(member.name))
        if items or member.kind is Kind.ENTRIES:  # a batch of no entries has no fields
            found[member.name] = _collected(operation, member, items)
    return found


def _flat(name: str) -> str:
    """Return how the fields of a list or a map begin."""
    return _FLAT.get(name, name.removesuffix("s"))


def _numbered(given: Mapping[str, str], flat: str) -> list[dict[str, str]]:
    """Return the items of a list or a map in their order: what follows the number of each, and the value."""
    found: dict[int, dict[str, str]] = {}
    start = f"{flat}."
    for name, value in given.items():
        if name.startswith(start):
            number, _, rest = name.removeprefix(start).partition(".")
            if _INDEX.fullmatch(number) is not None:
                found.setdefault(int(number), {})[rest] = value
    return [found[number] for number in sorted(found)]


def _collected(operation: str, member: Member, items: list[dict[str, str]]) -> Any:
    if member.kind is Kind.TEXTS:
        return [one.get("", "") for one in items]
    if member.kind is Kind.ENTRIES:
        return [_members(operation, member.entry, one) for one in items]
    keys = [one.get("Name", one.get("Key", "")) for one in items]
    if member.kind is Kind.MAP:
        return dict(zip(keys, [one.get("Value", "") for one in items], strict=True))
    values = [{name.removeprefix("Value."): value for name, value in one.items() if name != "Name"} for one in items]
    return dict(zip(keys, values, strict=True))
