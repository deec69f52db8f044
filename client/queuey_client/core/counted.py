"""Numbers with their nouns, in the singular or the plural."""

from __future__ import annotations


def counted(number: int | str, one: str, many: str | None = None) -> str:
    """Write a number with what it counts: ``1 message``, ``2 messages``.

    :param number: a text is a number with something before it, such as ``>=1``, which is plural.
    :param one: the words after 1, such as ``message was stored``.
    :param many: the words after any other number; without it, ``one`` and an s.
    """
    return f"{number} {one if str(number) == '1' else many or f'{one}s'}"
