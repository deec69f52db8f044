"""The JSON of messages, which is kept for slices that last: to render a page takes longer than all else about it."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from queuey.http.writing import Piece, Rest, messages_json
from queuey.model.message import Message
from queuey.model.window import Lasting, Slice


class Texts:
    """JSON texts of lasting slices, each kept as long as its slice is; whoever keeps the slices bounds both."""

    def __init__(self) -> None:
        self._texts: WeakKeyDictionary[Lasting, tuple[str, int]] = WeakKeyDictionary()

    def of(self, slice: Slice[Rest]) -> Piece[Rest]:
        """A slice as a piece of an answer."""
        messages = slice.messages
        if slice.lasting is None:
            return Piece(messages_json(messages), slice.rest, len(messages), _size(messages))
        kept = self._texts.get(slice.lasting)
        if kept is None:
            kept = ",".join(messages_json(messages)), _size(messages)
            self._texts[slice.lasting] = kept
        text, size = kept
        return Piece([text], slice.rest, len(messages), size)


def _size(messages: Sequence[Message]) -> int:
    return sum([len(message.content.body) for message in messages])
