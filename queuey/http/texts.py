"""The JSON of messages, which is kept for slices that last: to render a page takes longer than all else about it."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from queuey.http.writing import messages_json
from queuey.model.window import Lasting, Slice


class Texts:
    """JSON texts of lasting slices, each kept as long as its slice is; whoever keeps the slices bounds both."""

    def __init__(self) -> None:
        self._texts: WeakKeyDictionary[Lasting, str] = WeakKeyDictionary()

    def of(self, slice: Slice[object]) -> list[str]:
        """The messages of a slice as JSON texts, each of one message or of several, separated by commas."""
        if slice.lasting is None:
            return messages_json(slice.messages)
        text = self._texts.get(slice.lasting)
        if text is None:
            text = ",".join(messages_json(slice.messages))
            self._texts[slice.lasting] = text
        return [text]
