"""What checkers of histories report, and the texts in it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.histories.groups.history import Asked
from tests.live.cassandra.histories import Stored

Findings = Iterator[str | None]


def number_of(message: Stored) -> int:
    return int.from_bytes(message.id, "big")


def address_of(message: Stored) -> str:
    return f"{message.id.hex()}-{message.spot.partition}"


def shown(message: Stored) -> str:
    return f"{message.body} ({address_of(message)})"


def asked_of(asked: Asked) -> str:
    return f"{asked.action} of {shown(asked.given.message)} with number {asked.given.number}: {asked.outcome}"
