"""Stored messages as JSON. Each API has a format with the members of a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from queuey.http.answers.columns import can_tell
from queuey.model.messages.columns import Columns
from queuey.model.messages.message import Message


class MessageFormat(Protocol):
    """The members of a message in the JSON of an API."""

    def each(self, messages: Sequence[Message]) -> list[str]:
        """Return each message as JSON."""

    def columns(self, columns: Columns, between: bytes) -> bytes | None:
        """Return the same JSON for messages that a store has read as columns, with a text between them.

        It takes a few calls for all of them instead of several for each. Return ``None`` if the format has no such
        way.
        """


def joined_json(format: MessageFormat, messages: Sequence[Message], between: bytes = b",") -> bytes:
    """Return messages as JSON with a text between them."""
    if isinstance(messages, Columns) and can_tell(messages):
        found = format.columns(messages, between)
        if found is not None:
            return found
    return between.decode("ascii").join(format.each(messages)).encode("ascii")
