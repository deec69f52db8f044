"""Cut the body of a stream into lines, as its pieces arrive, and decode them into messages. No I/O happens here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NoReturn, overload

import attrs
import msgspec

from queuey.http.answers.encoding import encoded
from queuey.http.answers.problems import Problem, document
from queuey.http.inputs.fast_json import line_bodies
from queuey.http.inputs.json_size import has_too_many_values
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.v2.inputs import items, parameters
from queuey.http.v2.inputs.repeats import digest, scoped
from queuey.http.v2.inputs.strict_json import strict_json
from queuey.model.messages.batch import Drafts
from queuey.model.messages.message import Draft
from queuey.model.messages.once import Once

MAX_LINES: Final = 1000
"""Lines that are handled at once, at the most."""

SLICE_LINES: Final = 50
"""Lines that are read one by one in one turn of the reactor, at the most."""

SLICE_BYTES: Final = 8 * 1024
"""Bytes of lines after which others have their turn; the last of these lines may be longer."""

FEW_LINES: Final = 5
"""Lines that are read at once, without waiting for a turn, if they have no more than ``FEW_BYTES``."""

FEW_BYTES: Final = 1024

MAX_NAMED: Final = 20
MAX_NAMED_BYTES: Final = 8 * 1024
"""Mistakes that are named of one line, and their bytes of JSON: the answer reports each line."""

MAX_WRONG: Final = 100
MAX_WRONG_BYTES: Final = 32 * 1024
"""Lines in a row that are no messages, and the bytes of their problems, after which a stream ends: its sender has a
defect, and would be answered a hundred times what it sends."""

_canonical: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

BLANK: Final = b" \t\r"
"""Whitespace around the JSON of a line; a line of these bytes alone is blank."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a stream, as far as it was understood; there are too many of them for values that are made slowly.

    :ivar number: its place in the stream, counted from 1.
    :ivar size: its bytes.
    :ivar draft: the message that it is; ``None`` if there is a problem.
    :ivar once: what makes it a message that is stored once, or ``None``.
    :ivar problem: why it is no message.
    """

    number: int
    size: int
    draft: Draft | None = None
    once: Once | None = None
    problem: Problem | None = None


@attrs.define(eq=False)
class PlainLines(Sequence[Line]):
    """Lines that are messages which differ in their bodies alone, column by column.

    :ivar numbers: their places in the stream.
    :ivar sizes: their bytes.
    """

    numbers: Sequence[int]
    sizes: Sequence[int]
    drafts: Drafts

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> PlainLines: ...
    def __getitem__(self, place: int | slice) -> Line | PlainLines:
        if isinstance(place, slice):
            return PlainLines(self.numbers[place], self.sizes[place], self.drafts[place])
        return Line(self.numbers[place], self.sizes[place], self.drafts[place])

    def __iter__(self) -> Iterator[Line]:
        return map(Line, self.numbers, self.sizes, self.drafts)


def size_of(lines: Sequence[Line]) -> int:
    """The bytes of lines."""
    return sum(lines.sizes if isinstance(lines, PlainLines) else [line.size for line in lines])


def are_keyed(lines: Sequence[Line]) -> bool:
    """Whether one of them is stored once."""
    return not isinstance(lines, PlainLines) and any(line.once is not None for line in lines)


def joined(portions: Sequence[Sequence[Line]]) -> Sequence[Line]:
    """Lines that came in portions, one after another."""
    if len(portions) == 1:
        return portions[0]
    plain = [portion for portion in portions if isinstance(portion, PlainLines)]
    drafts = [portion.drafts for portion in plain]
    if len(plain) < len(portions) or len({(each.ttl, each.content_type, each.headers) for each in drafts}) > 1:
        return list(chain.from_iterable(portions))
    return PlainLines(
        list(chain.from_iterable([portion.numbers for portion in plain])),
        list(chain.from_iterable([portion.sizes for portion in plain])),
        attrs.evolve(drafts[0], bodies=list(chain.from_iterable([each.bodies for each in drafts]))),
    )


PAUSE: Final[Sequence[Line]] = ()
"""Comes among portions of lines where others are to have their turn before the next portion is read."""


class BrokenLine(Exception):
    """An error in a line that ends the reading of the stream.

    :ivar number: the line's place in the stream, counted from 1; ``None`` if lines before it are the reason too.
    :ivar problem: the error.
    """

    def __init__(self, number: int | None, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.number = number
        self.problem = problem


class Cutter:
    """Cuts pieces of bytes into lines, and buffers no more than one line may have.

    Lines end with a line feed, which may be missing after the last one. An incomplete line is buffered until its end
    arrives.

    :ivar too_long: whether a line exceeded the limit; no further lines are cut then.
    """

    def __init__(self, limit: int) -> None:
        """:param limit: bytes that a line may have, its line feed not counted."""
        self.too_long = False
        self._limit = limit
        self._kept = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece.

        :return: the lines that end in it, up to the first that is too long.
        """
        if self.too_long:
            return []
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = self._joined(lines[0])
        self._kept += rest
        if max(map(len, lines), default=0) > self._limit:
            self.too_long = True
            return lines[: next(place for place, line in enumerate(lines) if len(line) > self._limit)]
        self.too_long = len(self._kept) > self._limit
        return lines

    def last(self) -> bytes:
        """Return what came after the last line feed, at the end of the stream; empty if it is too long."""
        return b"" if self.too_long else self._joined(b"")

    def _joined(self, end: bytes) -> bytes:
        """Return a line whose last part has arrived."""
        if not self._kept:
            return end
        line = bytes(self._kept + end)
        self._kept.clear()
        return line


@attrs.frozen
class Keys:
    """Makes of an idempotency key what a store takes.

    :ivar caller: the principals that the sender has proven; a key is one caller's own.
    :ivar lifetime: seconds for which it is remembered.
    """

    caller: frozenset[str]
    lifetime: int

    def once(self, key: str, item: Mapping[str, Any]) -> Once:
        """Return what identifies a message of a stream: its key and the hash of its members.

        :param item: the message with all its members; what they say counts, and not how the line was written.
        """
        members = {name: value for name, value in item.items() if name != items.KEY}
        return Once(scoped(self.caller, key), digest([b"line", _canonical(members).encode("ascii")]), "", self.lifetime)


class Reader:
    """Decodes the lines of a stream into messages, until one of them is broken.

    Blank lines are skipped, but counted.
    """

    def __init__(self, limit: int, messages: items.Items, keys: Keys) -> None:
        """
        :param limit: bytes that a line may have.
        :param messages: makes drafts of what stands in the lines.
        """
        self._limit = limit
        self._cutter = Cutter(limit)
        self._messages = messages
        self._keys = keys
        self._number = 0
        self._wrong = self._wrong_bytes = 0

    def follow(self, messages: items.Items) -> None:
        """Make drafts by other rules from the next line on."""
        self._messages = messages

    def feed(self, piece: bytes) -> Iterator[Sequence[Line]]:
        """Give the lines that end in a piece, no more of them at a time than one turn of the reactor handles.

        ``PAUSE`` comes where others are to have their turn.

        :raise BrokenLine: after the lines that come before it.
        """
        yield from self._portions(self._cutter.feed(piece))
        if self._cutter.too_long:
            detail = f"This line has more than {self._limit} bytes; neither it nor anything after it was stored."
            raise BrokenLine(self._number + 1, Problem("too-large", detail, members={"limit": "max_body"}))

    def end(self) -> Iterator[Sequence[Line]]:
        """Decode the last line, if there is one without an end.

        :raise BrokenLine: if it is broken.
        """
        last = self._cutter.last()
        return self._portions([last] if last else [])

    def _portions(self, lines: Sequence[bytes]) -> Iterator[Sequence[Line]]:
        for start in range(0, len(lines), MAX_LINES):
            some = lines[start : start + MAX_LINES]
            bodies = line_bodies(some)
            if bodies is not None:
                yield self._plain(some, bodies)
                continue
            yield from self._slices(some)

    def _slices(self, lines: Sequence[bytes]) -> Iterator[Sequence[Line]]:
        """Lines that are read one by one, a few milliseconds of work at a time, and are one portion all the same."""
        if len(lines) > FEW_LINES or sum(map(len, lines)) > FEW_BYTES:
            # Before the first slice as well: many streams may bring lines in one turn of the reactor.
            yield PAUSE
        portion: list[Line] = []
        count = size = 0
        try:
            for line in lines:
                if count == SLICE_LINES or size >= SLICE_BYTES:
                    yield PAUSE
                    count = size = 0
                self._number += 1
                size += len(line) + 1
                if line.strip(BLANK):
                    count += 1
                    portion.append(self._read(line))
                    self._check_row(portion[-1])
        except BrokenLine:
            yield portion
            raise
        yield portion

    def _plain(self, lines: Sequence[bytes], bodies: Sequence[bytes]) -> PlainLines:
        first = self._number + 1
        self._number += len(lines)
        self._wrong = self._wrong_bytes = 0
        return PlainLines(range(first, first + len(lines)), list(map(len, lines)), self._messages.plain(bodies))

    def _check_row(self, line: Line) -> None:
        """Count lines in a row that are no messages.

        :raise BrokenLine: if there are too many.
        """
        if line.problem is None:
            self._wrong = self._wrong_bytes = 0
            return
        self._wrong += 1
        self._wrong_bytes += len(encoded(document(line.problem, "")))
        if self._wrong >= MAX_WRONG or self._wrong_bytes >= MAX_WRONG_BYTES:
            detail = f"The last {self._wrong} lines are no messages. Nothing after line {line.number} was read."
            raise BrokenLine(None, Problem("invalid-body", detail))

    def _read(self, line: bytes) -> Line:
        number, size = self._number, len(line)
        try:
            item = strict_json(line)
        except Problem as problem:
            if not _is_object(line):
                raise self._broken() from None
            return Line(number, size, problem=problem)
        if type(item) is not dict:
            raise self._broken()
        mistakes = Mistakes(MAX_NAMED, MAX_NAMED_BYTES)
        draft = self._messages.draft(item, "", mistakes)
        key = items.idempotency_key(item, "", mistakes)
        if mistakes:
            found = parameters.problem_of(mistakes, "invalid-body", "pointer", "the message")
            return Line(number, size, problem=found)
        return Line(number, size, draft, None if key is None else self._keys.once(key, item))

    def _broken(self) -> BrokenLine:
        detail = "This line is not a JSON object in UTF-8; neither it nor anything after it was stored."
        return BrokenLine(self._number, Problem("invalid-body", detail))


def _is_object(line: bytes) -> bool:
    """Whether a line is a JSON object, though it may be one that is not taken."""
    if has_too_many_values(line):
        return line.lstrip(BLANK).startswith(b"{")
    try:
        # Numbers may have any number of digits, though Python reads none that have thousands.
        found = json.loads(line.decode("utf-8"), parse_int=str, parse_constant=_no_constant)
        return isinstance(found, dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
