"""Answers of scripted nodes of Cassandra, as frames of the CQL protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import attrs

ERROR, STARTUP, READY, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT = 0, 1, 2, 3, 5, 6, 7, 8


PREPARE, EXECUTE, REGISTER, BATCH, AUTH_RESPONSE, AUTH_SUCCESS = 9, 10, 11, 13, 15, 16


LEVELS: Final = {1: "ONE", 4: "QUORUM", 6: "LOCAL_QUORUM", 7: "EACH_QUORUM", 8: "SERIAL", 9: "LOCAL_SERIAL"}


LEVELS[10] = "LOCAL_ONE"


CODES: Final = {name: code for code, name in LEVELS.items()}


TEXT, BLOB, BOOLEAN, INT, UUID, INET, TEXTS = 0x0D, 0x03, 0x04, 0x09, 0x0C, 0x10, 0x22


@attrs.frozen
class Answer:
    """What a node sends back.

    :ivar after: seconds later.
    """

    operation: int
    body: bytes
    after: float = 0.0

    def later(self, seconds: float) -> Answer:
        """The same, so many seconds later."""
        return attrs.evolve(self, after=seconds)


#: Answers nothing, and goes on.
SILENCE: Final = Answer(-1, b"")


#: Ends the connection instead of answering.
HANG_UP: Final = Answer(-2, b"")


#: Sends the first half of an answer, and ends the connection.
HALF: Final = Answer(-3, b"")


#: The statement was never prepared, as far as this node knows.
UNPREPARED: Final = Answer(-4, b"")


#: Done.
VOID: Final = Answer(RESULT, struct.pack(">i", 1))


def string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def error(code: int, text: str, more: bytes = b"") -> Answer:
    """An error, with what its code has besides."""
    return Answer(ERROR, struct.pack(">i", code) + string(text) + more)


def unavailable(level: str, required: int = 2, alive: int = 1) -> Answer:
    return error(0x1000, "Cannot achieve consistency", struct.pack(">Hii", CODES[level], required, alive))


def write_timeout(kind: str, level: str = "QUORUM") -> Answer:
    return error(0x1100, "Operation timed out", struct.pack(">Hii", CODES[level], 1, 2) + string(kind))


def read_timeout(received: int, data: bool) -> Answer:
    return error(0x1200, "Operation timed out", struct.pack(">HiiB", CODES["QUORUM"], received, 2, data))


def write_failure(kind: str, version: int) -> Answer:
    causes = struct.pack(">iB4sH", 1, 4, bytes([127, 0, 0, 1]), 0) if version == 5 else struct.pack(">i", 1)
    return error(0x1500, "Operation failed", struct.pack(">Hii", CODES["QUORUM"], 1, 2) + causes + string(kind))


OVERLOADED: Final = error(0x1001, "Too many in flight hints")


BOOTSTRAPPING: Final = error(0x1002, "Cannot read from a bootstrapping node")


SERVER_ERROR: Final = error(0x0000, "java.lang.NullPointerException")


CAS_UNKNOWN: Final = error(0x1700, "CAS operation timed out", struct.pack(">Hii", CODES["SERIAL"], 1, 2))


def rows(columns: Sequence[tuple[str, int]], *found: Sequence[bytes | None]) -> Answer:
    """Rows, whose cells are as they go over the wire."""
    head = struct.pack(">iii", 2, 1, len(columns)) + string("ks") + string("table")
    for name, kind in columns:
        head += string(name) + (struct.pack(">HH", TEXTS, TEXT) if kind == TEXTS else struct.pack(">H", kind))
    body = b"".join(cell(value) for row in found for value in row)
    return Answer(RESULT, head + struct.pack(">i", len(found)) + body)


def cell(value: bytes | None) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def unprepared(name: bytes) -> Answer:
    return error(0x2500, "Prepared query with this ID not found", struct.pack(">H", len(name)) + name)
