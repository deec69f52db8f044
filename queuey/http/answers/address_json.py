"""Where the messages of a batch are, as JSON: in a few steps for all of them.

The ids of one write have one tick after another as a rule, and all else in common. So their lowest 12 bits come from a
table, as the ticks of the second come from a range, and what stands between is the same text for all of a partition.
That takes a quarter of the time of a template that is filled in for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Final

from queuey.model.batch import Addresses
from queuey.model.message import Address
from queuey.model.timeid import low_bits, run_bytes

Template = Callable[[bytes, bytes], tuple[str | None, int]]
"""Makes of the first six bytes of an id, and of its last eight, how addresses look that have them.

``%03x`` stands for the 12 bits between, ``%07d`` for the ticks of the second, ``%d`` for the partition. The number is
the ticks of the second where those bits are 0. No template where they lead into another second."""

_BITS: Final = range(0x1000)
_HEX: Final = [f"{bits:03x}" for bits in _BITS]
_SEVEN_DIGITS: Final = 1_000_000


def joined(
    addresses: Sequence[Address], separator: str, template: Template, each: Callable[[Sequence[Address]], list[str]]
) -> str:
    """Where messages are, each as JSON, with a separator between them.

    :param each: renders any addresses, each by itself.
    """
    if not isinstance(addresses, Addresses):
        return separator.join(each(addresses))
    found = []
    start, ids = 0, addresses.ids
    while start < len(ids):
        bits = low_bits(ids[start])
        some = addresses[start : start + len(_BITS) - bits]
        text = _run(some, bits, separator, template)
        found.append(separator.join(each(some)) if text is None else text)
        start += len(some)
    return separator.join(found)


def _run(addresses: Addresses, bits: int, separator: str, template: Template) -> str | None:
    """Render addresses whose ids follow each other, the first with these lowest bits; ``None`` if they do not."""
    ids = addresses.ids
    count, end = len(ids), bits + len(ids)
    if b"".join(ids) != run_bytes(ids[0], count):
        return None
    look, ticks = template(ids[0][:6], ids[0][8:])
    if look is None:
        return None
    before, _, rest = look.partition("%03x")
    between, _, after = rest.partition("%07d")
    ticks += bits
    second = range(ticks, ticks + count)
    texts = map(str, second) if ticks >= _SEVEN_DIGITS else map("{:07d}".format, second)
    columns = zip(
        repeat(separator + before), _HEX[bits:end], _column(between, addresses), texts, _column(after, addresses),
        strict=False,
    )  # fmt: skip
    return "".join(chain.from_iterable(columns))[len(separator) :]


def _column(text: str, addresses: Addresses) -> Iterator[str]:
    """A text that has the partition in it, for each address."""
    if "%d" not in text:
        return repeat(text)
    known = {partition: text.replace("%d", str(partition)) for partition in set(addresses.partitions)}
    return map(known.__getitem__, addresses.partitions)
