"""The messages of any queue: ``messages.*``."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from queuey.core.peeking import Peek, PeekAsked, Peeked, Peeks
from queuey.core.queues import QueueDirectory
from queuey.errors import Forbidden
from queuey.http.v2.messages.pages import address_of
from queuey.model.fields import LIMIT, Whole
from queuey.model.messages.message import Address, Content
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading.start import Start
from queuey.model.reading.window import Position
from queuey.model.timeid import MessageId, Ticks, ticks_of, to_rfc3339
from queuey.ops.faults import invalid_params
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.queues import QUEUE
from queuey.ops.methods.shown import message_id
from queuey.ops.parameters import ARRAY, BOOLEAN, PLACE, TEXT, Kind, Parameter, number
from queuey.ops.rpc import CallContext, Methods, method

MAX_PEEKED: Final = 100
"""Messages that one call shows."""

_LIMIT: Final = attrs.evolve(LIMIT, high=MAX_PEEKED, default=10)
_MAX_BODY: Final = Whole("max_body", 0, 65_536, 4096, "bytes")
_PARTITION: Final = Whole("partition", 1, MAX_PARTITIONS)


def _ids(value: Any) -> tuple[Address, ...]:
    texts = ARRAY.read(value)
    found = [address for text in texts if isinstance(text, str) and (address := address_of(text)) is not None]
    if len(found) < len(texts) or not 1 <= len(found) <= MAX_PEEKED:
        raise ValueError(f"does not have 1 to {MAX_PEEKED} ids of messages")
    return tuple(found)


def _after(value: Any) -> Position:
    id, _, partition = TEXT.read(value).partition("-")
    try:
        if len(id) == 32 and partition.isascii() and len(partition) < 4:
            return Position(MessageId(bytes.fromhex(id)), int(partition))
    except ValueError:
        pass
    raise ValueError("is not the `next` of an earlier answer")


class Messages(Methods):
    """``messages.*``.

    :param may_peek: whether messages may be shown at the port of these methods, as it is now.
    :param how: what allows it, for the error.
    """

    def __init__(self, directory: QueueDirectory, peeks: Peeks, may_peek: Callable[[], bool], how: str) -> None:
        super().__init__()
        self._directory = directory
        self._peeks = peeks
        self._may_peek = may_peek
        self._how = how

    @method(
        "object",
        APPLICATION,
        QUEUE,
        Parameter("from", PLACE),
        Parameter("ids", Kind("array", f"1 to {MAX_PEEKED} ids of messages", _ids)),
        Parameter("partition", number(_PARTITION)),
        Parameter("newest_first", BOOLEAN),
        Parameter("after", Kind("string", "the `next` of an earlier answer", _after)),
        Parameter("limit", number(_LIMIT)),
        Parameter("max_body", number(_MAX_BODY)),
        changes=True,
    )
    async def jsonrpc_peek(
        self,
        call: CallContext,
        application: str,
        queue: str,
        ids: tuple[Address, ...] | None = None,
        partition: int | None = None,
        newest_first: bool = False,
        after: Position | None = None,
        limit: int = _LIMIT.default,
        max_body: int = _MAX_BODY.default,
        **place: Start | Ticks,
    ) -> dict[str, Any]:
        """Show messages of a queue, without taking any: the last ones, or those from a time or an end on, or those with
        the `ids`. A body is shown up to `max_body` bytes, and all together up to 512 KiB. To continue, pass `next` as
        `after`. Each call is written to the log. It is refused unless `ops_peek` allows it, or at the dashboard the
        rights of the token."""
        # At the dashboard the rights of the token were checked before.
        if call.token is None and not self._may_peek():
            raise Forbidden(self._how)
        found = await self._directory.find(application, queue)
        if ids is not None:
            peek = await self._peeks.some(found, ids, max_body)
        else:
            if partition is not None and partition > found.settings.partitions:
                raise invalid_params({"partition": f"is more than the {found.settings.partitions} of the queue"})
            begin = place.get("from", Start.NEWEST)
            asked = PeekAsked(begin, partition, newest_first, after, limit, max_body)
            peek = await self._peeks.range(found, asked)
        answer = _shown(peek)
        call.note(None, {"ids": [one["id"] for one in answer["messages"]]})
        return answer


def _shown(peek: Peek) -> dict[str, Any]:
    next = peek.next
    return {
        "messages": [_message(each) for each in peek.messages],
        "next": None if next is None else f"{next.id.hex()}-{next.partition}",
    }


def _message(peeked: Peeked) -> dict[str, Any]:
    message = peeked.message
    content = message.content
    text = _text(peeked.body, cut=peeked.cut)
    return {
        "id": message_id(Address(message.partition, message.id)),
        "partition": message.partition,
        "stored": to_rfc3339(ticks_of(message.id)),
        "expires": to_rfc3339(message.expires),
        "type": content.content_type,
        "headers": _headers(content),
        "bytes": len(content.body),
        "body": base64.b64encode(peeked.body).decode("ascii") if text is None else text,
        "encoding": "base64" if text is None else "utf-8",
        "cut": peeked.cut,
    }


def _text(body: bytes, *, cut: bool) -> str | None:
    """Return a body as text, without a character that was cut; ``None`` if it is not text."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        if cut and error.end == len(body) and error.reason == "unexpected end of data":
            return body[: error.start].decode("utf-8")
        return None


def _headers(content: Content) -> dict[str, Any]:
    """Return the headers of a message; values other than plain ones are shown as JSON."""
    try:
        found = json.loads(content.headers or b"{}")
        return {name: json.dumps(one) if isinstance(one, dict | list) else one for name, one in found.items()}
    except (ValueError, RecursionError, AttributeError):
        return {}
