"""Parse requests of the v1 API into model values, or raise one error that names every wrong parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NoReturn

import attrs

from queuey.core.queues import QueueChanges
from queuey.errors import BodyTooLarge, InvalidRequest
from queuey.http.inputs.fast_json import batch_bodies
from queuey.http.inputs.forms import CHARSETS, MAX_FIELDS, parse_form, parse_query
from queuey.http.inputs.header_fields import single_header
from queuey.http.inputs.json_size import TOO_MANY, has_too_many_values
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.inputs.parameters import MANY, MAX_REMEMBERED, Parameters, refuse, whole_number
from queuey.http.wire import Request
from queuey.model.fields import LIMIT, PARTITIONS, TTL, Whole, partition
from queuey.model.messages.batch import Drafts
from queuey.model.messages.message import Address, Content, Draft
from queuey.model.queues.queue import MAX_PRINCIPALS, Consistency, QueueType, is_principal, name_problem
from queuey.model.reading.window import Window
from queuey.model.text import shown
from queuey.model.timeid import (
    HIGHEST,
    LOWEST,
    MessageId,
    from_v1_hex,
    lower_bound,
    parse_seconds,
    successor,
    upper_bound,
)

_QUEUES: Final = Whole("limit", 1, 10**40, meaning="maximum number of queues in an answer: as many as there are")

MAX_BATCH: Final = 1000
"""Messages in a batch."""

MAX_REPLACED: Final = 16 << 20
"""Bytes of bodies that one PUT writes: a path has room for 2,000 ids, each of which gets the whole body."""

_NOT_READ: Final = "Unable to properly deserialize JSON body."
"""The error of the first version for each body that is not JSON, or is not an object with a list of messages."""

_JSON: Final = "application/json"
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_ID_LENGTH: Final = 32


class Order(Enum):
    """Which end of a range comes first, in the words and the order in which refusals name them."""

    DESCENDING = "descending"
    ASCENDING = "ascending"


@attrs.frozen
class ListQuery:
    """The parameters of a listing of queues."""

    start: str
    limit: int | None
    details: bool
    counts: bool


def list_query(request: Request) -> ListQuery:
    """Read the parameters of ``GET /v1/{app}``."""
    given = Parameters(parse_query(request.uri.partition(b"?")[2]))
    wanted = ListQuery(
        start=given.text("offset") or "",
        limit=given.number(_QUEUES),
        details=given.boolean("details"),
        counts=given.boolean("include_count"),
    )
    given.check()
    return wanted


def new_queue(request: Request) -> tuple[str | None, QueueChanges]:
    """The name (``None``: any) and the settings that ``POST /v1/{app}`` asks for."""
    given = _form(request)
    name = given.text("queue_name")
    if name is not None and (problem := name_problem(name)):
        given.wrong("queue_name", problem)
    return name, _changes(given)


def queue_changes(request: Request) -> QueueChanges:
    """The settings that ``PUT /v1/{app}/{queue}`` asks for."""
    return _changes(_form(request))


def _form(request: Request) -> Parameters:
    return Parameters(parse_form(request.body, single_header(request, "Content-Type")))


def _changes(given: Parameters) -> QueueChanges:
    wanted = QueueChanges(
        type=given.choice("type", QueueType),
        partitions=given.number(PARTITIONS),
        consistency=given.choice("consistency", Consistency),
        principals=_principals(given),
    )
    given.check()
    return wanted


def _principals(given: Parameters) -> tuple[str, ...] | None:
    raw = given.text("principles")
    if raw is None:
        return None
    if raw.count(",") > MAX_FIELDS:
        given.wrong("principles", f"There are more than {MAX_FIELDS} commas.")
        return None
    names = dict.fromkeys(name for part in raw.split(",") if (name := part.strip()))
    if len(names) > MAX_PRINCIPALS:
        given.wrong("principles", f"A queue has at most {MAX_PRINCIPALS} principles, and these are {len(names)}.")
        return None
    wrong = [f'"{shown(name)}" is not a valid permission list.' for name in names if not is_principal(name)]
    if wrong:
        given.wrong("principles", " ".join(wrong))
    return tuple(names)


def drafts(request: Request, partitions: int, ttl: int) -> Sequence[Draft]:
    """The messages of ``POST /v1/{app}/{queue}``: a batch if it is JSON, otherwise one.

    :param partitions: how many the queue has.
    :param ttl: seconds to live for those that do not say.
    """
    content_type = single_header(request, "Content-Type")
    media_type, options = _media_type(content_type)
    if media_type == _JSON:
        return _batch(request.body, options, partitions, ttl)
    given = _headers(request)
    content = _content(given, request.body, content_type)
    draft = Draft(content, given.number(TTL) or ttl, given.number(partition(partitions)))
    given.check()
    return [draft]


def is_plain(request: Request) -> bool:
    """Return whether the head of a POST has no data of a message except its type."""
    media_type, _ = _media_type(single_header(request, "Content-Type"))
    return media_type != _JSON and b"x-ttl" not in request.fields and b"x-partition" not in request.fields


def _media_type(content_type: str | None) -> tuple[str, str]:
    """The type itself, and its parameters."""
    media_type, _, options = (content_type or "").partition(";")
    return media_type.strip().lower(), options


def replacement(request: Request, addresses: Sequence[Address], partitions: int, ttl: int) -> tuple[Content, int]:
    """The content and the seconds to live that ``PUT /v1/{app}/{queue}/{ids}`` gives to each message."""
    given = _headers(request)
    content = _content(given, request.body, single_header(request, "Content-Type"))
    if len(addresses) * len(request.body) > MAX_REPLACED:
        text = f"{len(addresses)} messages of {len(request.body)} bytes are more than {MAX_REPLACED} bytes."
        raise BodyTooLarge(text)
    seconds = given.number(TTL) or ttl
    for address in addresses:
        if not 1 <= address.partition <= partitions:
            bound = f"greater than maximum value {partitions}" if address.partition else "less than minimum value 1"
            given.wrong("partition", f"{address.partition} is {bound}")
            break
    given.check()
    return content, seconds


def _headers(request: Request) -> Parameters:
    return Parameters({"ttl": single_header(request, "X-TTL"), "partition": single_header(request, "X-Partition")})


def _content(given: Parameters, body: bytes, content_type: str | None) -> Content:
    if not body:
        given.wrong("body", "Required")
    elif not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            given.wrong("body", "The body is not UTF-8 text.")
    return Content(body, content_type)


def _batch(body: bytes, options: str, partitions: int, ttl: int) -> Sequence[Draft]:
    _check_charset(options)
    bodies = batch_bodies(body)
    if bodies is not None and all(bodies):
        _check_count(len(bodies))
        return Drafts(bodies, ttl)
    items = _batch_items(body)
    mistakes = Mistakes()
    found = [_batch_item(item, index, mistakes, partitions, ttl) for index, item in enumerate(items)]
    refuse(mistakes)
    return found


def _check_count(count: int) -> None:
    if count > MAX_BATCH:
        raise _no_batch(f"A batch has at most {MAX_BATCH} messages, and this one has {count}.")


def _check_charset(options: str) -> None:
    charset = re.search(r'charset\s*=\s*"?([^\s;"]+)', options, re.IGNORECASE)
    if charset is not None and charset[1].lower() not in CHARSETS:
        raise _no_batch(f"JSON is UTF-8 text, not {shown(charset[1])}.")


def _batch_items(body: bytes) -> list[Any]:
    if has_too_many_values(body):
        raise _no_batch(f"{TOO_MANY} A batch has at most {MAX_BATCH} messages.")
    try:
        decoded = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_Number, parse_int=_Number)
    except (ValueError, RecursionError):
        raise _no_batch(_NOT_READ) from None
    items = decoded.get("messages") if isinstance(decoded, dict) else None
    if not isinstance(items, list):
        raise _no_batch(_NOT_READ)
    _check_count(len(items))
    return items


def _batch_item(item: Any, index: int, mistakes: Mistakes, partitions: int, ttl: int) -> Draft:
    if not isinstance(item, dict):
        mistakes.add(str(index), f'"{shown(_as_text(item))}" is not an object')
        return Draft(Content(b""), ttl)
    body = item.get("body")
    if len(item) == 1 and type(body) is str and body and body.isascii():
        return Draft(Content(body.encode("ascii")), ttl)  # the usual case, which needs no further checks
    numbers = {name: None if item.get(name) is None else _as_text(item[name]) for name in ("ttl", "partition")}
    given = Parameters(numbers, mistakes, f"{index}.")
    content = Content(_text(given, body))
    return Draft(content, given.number(TTL) or ttl, given.number(partition(partitions)))


def _text(given: Parameters, value: Any) -> bytes:
    if value is None or value == "":
        given.wrong("body", "Required")
    elif isinstance(value, _Number) or not isinstance(value, str):
        given.wrong("body", f'"{shown(_as_text(value))}" is not text')
    else:
        try:
            return value.encode("utf-8")
        except UnicodeEncodeError:
            given.wrong("body", "The body is not valid Unicode text: half of a surrogate pair stands alone.")
    return b""


class _Number(str):
    """A JSON number as it was written, to be checked as text that came in a header is."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _as_text(value: Any) -> str:
    """A JSON value as text, to be checked like that of a header, or shown in a refusal."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | None):
        return json.dumps(value)
    return "{...}" if isinstance(value, dict) else "[...]"


def _no_batch(text: str) -> InvalidRequest:
    return InvalidRequest({MANY: text})


def addresses(ids: str) -> list[Address]:
    """The addresses in a path: ``[partition:]hex32``, separated by commas.

    :raise InvalidRequest: if one of them is not the id of a message.
    """
    found = []
    for part in ids.split(","):
        partition, colon, digits = part.strip(" ").rpartition(":")
        id = from_v1_hex(digits)
        if id is None or (colon and _DIGITS.fullmatch(partition) is None):
            raise InvalidRequest({"InvalidMessageID": "Invalid message id's."})
        found.append(Address(whole_number(partition) or 0 if colon else 1, id))
    return found


def window(request: Request, partitions: int) -> Window | None:
    """The range that ``GET /v1/{app}/{queue}`` reads; ``None`` if the queue has none of the partitions asked for.

    :param partitions: how many the queue has.
    """
    query = request.uri.partition(b"?")[2]
    return (_window if len(query) <= MAX_REMEMBERED else _window.__wrapped__)(query, partitions)


@lru_cache(maxsize=256)
def _window(query: bytes, partitions: int) -> Window | None:
    """The same of a query; readers ask for the same again and again."""
    given = Parameters(parse_query(query))
    limit = given.number(LIMIT) or LIMIT.default
    descending = given.choice("order", Order) is Order.DESCENDING
    wanted = [number for number in _partition_list(given) if 1 <= number <= partitions]
    lower, upper = _since(given, descending)
    given.check()
    return Window(tuple(wanted), lower, upper, descending, limit) if wanted else None


def _partition_list(given: Parameters) -> list[int]:
    """Each partition once, in the order given."""
    raw = given.text("partitions") or "1"
    # Each different text is looked at once: a query of 64 KiB has room for 30,000 of them.
    parts = [part for text in dict.fromkeys(raw.split(",")) if (part := text.strip())]
    if not parts or not all(_DIGITS.fullmatch(part) for part in parts):
        given.wrong(
            "partitions", f'"{shown(raw)}" is not a valid comma separated list of integers or a single integer.'
        )
        return []
    return list(dict.fromkeys(whole_number(part) or 0 for part in parts))


def _since(given: Parameters, descending: bool) -> tuple[MessageId, MessageId]:
    """The bounds that ``since`` sets: itself included, it is the oldest, or descending the newest."""
    raw = given.text("since")
    if raw is None:
        return LOWEST, HIGHEST
    if len(raw) == _ID_LENGTH and "." not in raw:
        id = from_v1_hex(raw)
        if id is not None:
            return (LOWEST, successor(id)) if descending else (id, HIGHEST)
    elif not raw.endswith("."):
        ticks = parse_seconds(raw, up=not descending)
        if ticks is not None:
            return (LOWEST, upper_bound(ticks)) if descending else (lower_bound(ticks), HIGHEST)
    given.wrong("since", f'"{shown(raw)}" is not a message id, nor seconds since 1970 in decimal.')
    return LOWEST, HIGHEST
