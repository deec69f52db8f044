"""Addresses of stored messages as the JSON of v2, and the answer to an append."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Final

from queuey.http.answers.addresses import BITS, PARTITION, SECOND_TICKS, AddressFormat
from queuey.http.v2.representations.fields import HEAD, HEAD_REPLAYED, uri_path
from queuey.http.wire import Request
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Consistency
from queuey.model.timeid import EPOCH, SECOND, MessageId, Ticks, to_rfc3339


def id_text(id: MessageId, partition: int) -> str:
    """Return the id of a message as text: it sorts by time, and it is an address, and a cursor."""
    return f"{id.hex()}-{partition}"


def consistency_word(consistency: Consistency) -> str:
    """Return a consistency as v2 names it."""
    return consistency.value.replace("_", "-")


@cache
def stored_json(consistency: Consistency, durable: bool) -> str:
    """Return how messages are stored, as JSON.

    :param durable: whether they survive the loss of power.
    """
    return f'{{"consistency":"{consistency_word(consistency)}","durable":{"true" if durable else "false"}}}'


def answer_stored(request: Request, addresses: Sequence[Address], stored: str, duplicate: bool) -> None:
    """Write the whole answer to messages that are stored: the address of each.

    :param stored: how they are stored, as JSON.
    :param duplicate: whether an earlier request stored them.
    """
    head, after = HEAD_REPLAYED if duplicate else HEAD, _after(stored, duplicate)
    if len(addresses) == 1:
        address = addresses[0]
        location = b"%b/%b-%d" % (uri_path(request.path), hexlify(address.id), address.partition)
        request.answer(201, head, ADDRESSES.answer_one(address, _BEFORE, after), ((b"Location", location),))
    else:
        request.answer(201, head, ADDRESSES.answer(addresses, _BEFORE, after))


_BEFORE: Final = '{"messages":['


@lru_cache(16)
def _after(stored: str, duplicate: bool) -> str:
    """Return the end of an answer, after the addresses."""
    return f'],"stored":{stored},"duplicate":{"true" if duplicate else "false"}}}\n'


def _template(high: bytes, low: bytes) -> tuple[str | None, int]:
    """See :class:`~queuey.http.answers.addresses.AddressFormat`."""
    digits = high.hex()
    start = Ticks(int(digits, 16) << 12)
    ticks = (start - EPOCH) % SECOND
    if ticks + 0xFFF >= SECOND:
        return None, 0
    id, second = f"{digits}6{BITS}{low.hex()}-{PARTITION}", to_rfc3339(start)[:-8]
    return f'{{"id":"{id}","partition":{PARTITION},"timestamp":"{second}{SECOND_TICKS}Z"}}', ticks


def _address_json(address: Address) -> str:
    digits, partition = address.id.hex(), address.partition
    time = to_rfc3339(Ticks(int(digits[:12] + digits[13:16], 16)))
    return f'{{"id":"{digits}-{partition}","partition":{partition},"timestamp":"{time}"}}'


ADDRESSES: Final = AddressFormat(_template, _address_json)
