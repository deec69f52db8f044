"""The JSON of messages, which is kept for slices that last: to render a page takes longer than all else about it."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from queuey.http.writing import Piece, Rest, joined_json
from queuey.model.columns import body_bytes
from queuey.model.window import Lasting, Slice


class Texts:
    """JSON texts of lasting slices, each kept as long as its slice is; whoever keeps the slices bounds both."""

    def __init__(self) -> None:
        self._texts: WeakKeyDictionary[Lasting, tuple[bytes, int]] = WeakKeyDictionary()

    def of(self, slice: Slice[Rest]) -> Piece[Rest]:
        """A slice as a piece of an answer."""
        messages = slice.messages
        if not messages:
            return Piece([], slice.rest)
        if slice.lasting is None:
            return Piece([joined_json(messages)], slice.rest, len(messages), body_bytes(messages))
        kept = self._texts.get(slice.lasting)
        if kept is None:
            kept = joined_json(messages), body_bytes(messages)
            self._texts[slice.lasting] = kept
        text, size = kept
        return Piece([text], slice.rest, len(messages), size)
