"""The addresses of stored messages as JSON: what is answered to a POST, to a batch and to a stream.

The ids of one write, and of all writes that are stored together, usually differ only in the lowest 12 bits of their
time. So what they have in common is rendered once, as a template, which takes a third of the time of rendering each.
The ids of a batch even have one tick after another. Then those bits come from a table and the ticks of the second from
a range, which takes a quarter of the time of filling in the template for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Final

import attrs

from queuey.model.messages.batch import Addresses
from queuey.model.messages.message import Address
from queuey.model.timeid import low_bits, run_bytes

BITS: Final = "%(bits)03x"
"""The slot of a template for the lowest 12 bits of the time."""

SECOND_TICKS: Final = "%(ticks)07d"
"""The slot for the ticks since the last whole second."""

PARTITION: Final = "%(partition)d"

_BITS: Final = range(0x1000)
_HEX: Final = [f"{bits:03x}" for bits in _BITS]
_SEVEN_DIGITS: Final = 1_000_000


@attrs.frozen(eq=False)
class AddressFormat:
    """An address as the JSON of an API.

    :ivar template: makes, of the first six bytes of an id and of its last eight, a template of all addresses that have
        them, with the slots above, and ``BITS`` before ``SECOND_TICKS``. Its other result is the ticks of the second if
        the bits are 0. The template is ``None`` if the bits can lead into another second.
    :ivar alone: renders any address, without a template.
    """

    template: Callable[[bytes, bytes], tuple[str | None, int]]
    alone: Callable[[Address], str]

    def each(self, addresses: Sequence[Address]) -> list[str]:
        """Return each address as JSON."""
        found = []
        high = low = b""
        template: str | None = None
        ticks = 0
        for address in addresses:
            id = address.id
            if id[:6] != high or id[8:] != low:
                high, low = id[:6], id[8:]
                template, ticks = _template(self, high, low)
            if template is None:
                found.append(self.alone(address))
            else:
                bits = low_bits(id)
                found.append(template % {"bits": bits, "partition": address.partition, "ticks": ticks + bits})
        return found

    def joined(self, addresses: Sequence[Address], separator: str) -> str:
        """Return addresses as JSON, with a separator between them."""
        if not isinstance(addresses, Addresses):
            return separator.join(self.each(addresses))
        found = []
        start, ids = 0, addresses.ids
        while start < len(ids):
            bits = low_bits(ids[start])
            some = addresses[start : start + len(_BITS) - bits]
            text = self._run(some, bits, separator)
            found.append(separator.join(self.each(some)) if text is None else text)
            start += len(some)
        return separator.join(found)

    def answer(self, addresses: Sequence[Address], before: str, after: str) -> bytes:
        """Return the body of an answer that has addresses, separated by commas, between two texts."""
        return f"{before}{self.joined(addresses, ',')}{after}".encode("ascii")

    def answer_one(self, address: Address, before: str, after: str) -> bytes:
        """Return the same for one address, by a template of the whole answer."""
        id = address.id
        template, ticks = _answer_template(self, id[:6], id[8:], before, after)
        if template is None:
            return f"{before}{self.alone(address)}{after}".encode("ascii")
        bits = low_bits(id)
        return template % {b"bits": bits, b"partition": address.partition, b"ticks": ticks + bits}

    def _run(self, addresses: Addresses, bits: int, separator: str) -> str | None:
        """Render addresses whose ids follow each other tick by tick; ``None`` if they do not.

        :param bits: the lowest 12 bits of the first.
        """
        ids = addresses.ids
        count, end = len(ids), bits + len(ids)
        if b"".join(ids) != run_bytes(ids[0], count):
            return None
        template, ticks = _template(self, ids[0][:6], ids[0][8:])
        if template is None:
            return None
        before, _, rest = template.partition(BITS)
        between, _, after = rest.partition(SECOND_TICKS)
        ticks += bits
        second = range(ticks, ticks + count)
        texts = map(str, second) if ticks >= _SEVEN_DIGITS else map("{:07d}".format, second)
        columns = zip(
            repeat(separator + before), _HEX[bits:end], _column(between, addresses), texts, _column(after, addresses),
            strict=False,
        )  # fmt: skip
        return "".join(chain.from_iterable(columns))[len(separator) :]


@lru_cache(16)
def _template(format: AddressFormat, high: bytes, low: bytes) -> tuple[str | None, int]:
    """Return the template of a format, which is the same for all ids that have these bytes."""
    return format.template(high, low)


@lru_cache(16)
def _answer_template(
    format: AddressFormat, high: bytes, low: bytes, before: str, after: str
) -> tuple[bytes | None, int]:
    """Return the template of a whole answer to the POST of one message."""
    template, ticks = _template(format, high, low)
    if template is None:
        return None, 0
    before, after = before.replace("%", "%%"), after.replace("%", "%%")
    return f"{before}{template}{after}".encode("ascii"), ticks


def _column(text: str, addresses: Addresses) -> Iterator[str]:
    """Return a text that has the slot of the partition in it, for each address."""
    if PARTITION not in text:
        return repeat(text)
    known = {partition: text.replace(PARTITION, str(partition)) for partition in set(addresses.partitions)}
    return map(known.__getitem__, addresses.partitions)
