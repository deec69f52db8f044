"""What must hold of producers that retry and of readers with cursors: each checker is a pure function of the record.

Nothing may be under way any more, and every reader has read to the end, when ``found`` is read. Each checker yields one
line for each thing that is wrong.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import attrs

from queuey.model.reading.window import OLDEST, Position
from queuey.model.timeid import SECOND, ticks_of
from tests.histories.record import Record
from tests.live.cassandra.histories import Outcome, Spot, Stored, found_by

KEY_WAS_USED = (0, 409, 422, 503, 507)
"""Statuses of requests under a key of something else; each but 422 is tried again."""


def several_ids(record: Record, found: Sequence[Stored]) -> Iterator[str]:
    """A message of a key has two ids, be they answered or shown."""
    places = defaultdict(set)
    shown = [message for page in record.pages for message in page.found]
    for message in [*record.acknowledged(), *shown, *found]:
        places[message.spot.queue, message.body].add(_place(message))
    for (queue, body), several in places.items():
        if len(several) > 1:
            yield f"several ids: {body} in {queue} has {[_written(place) for place in sorted(several)]}"


def differing(record: Record) -> Iterator[str]:
    """Two answers of a key name other ids, or have other statuses."""
    for key, sends in record.answers().items():
        for other in sends[1:]:
            if (other.status, other.stored) != (sends[0].status, sends[0].stored):
                yield f"differing answers: {key} was answered {sends[0]}, and {other}"


def new_again(record: Record) -> Iterator[str]:
    """A key is answered as new twice, or after it was answered; or an answer contradicts itself."""
    for key, sends in record.answers().items():
        known = min(send.ended for send in sends)
        if sum(not send.duplicate for send in sends) > 1:
            yield f"new again: {key} was answered as new {sum(not send.duplicate for send in sends)} times"
        for send in sends:
            if send.invoked > known and not send.duplicate:
                yield f"new again: {key} was sent after its answer, and was no duplicate"
            if send.replayed is not None and send.replayed != send.duplicate:
                yield f"new again: {key} has duplicate {send.duplicate}, and Idempotency-Replayed {send.replayed}"


def lost(record: Record, found: Sequence[Stored]) -> Iterator[str]:
    """Acknowledged, and not there at the end."""
    there = set(found)
    for message in record.acknowledged():
        if message not in there:
            yield f"lost: {_told(message)}"


def shown_twice(record: Record) -> Iterator[str]:
    """Shown to one reader twice, be it the id or the message."""
    for reader, pages in record.readers().items():
        shown = [message for page in pages for message in page.found]
        for place, number in Counter(map(_place, shown)).items():
            if number > 1:
                yield f"shown twice: {_written(place)}, {number} times to {reader}"
        for body, number in Counter(message.body for message in shown).items():
            if number > 1:
                yield f"shown twice: {body}, {number} times to {reader}"


def early(record: Record) -> Iterator[str]:
    """Shown before it was due, which is the time of its id."""
    for page in record.pages:
        for message in page.found:
            if ticks_of(message.id) > page.clock:
                seconds = (ticks_of(message.id) - page.clock) / SECOND
                yield f"early: {_told(message)} was shown to {page.reader} {seconds:.3f} s before it was due"


def passed_over(record: Record) -> Iterator[str]:
    """Acknowledged, and not shown to a reader whose cursor is beyond it."""
    for reading in _readings(record):
        for message in record.acknowledged():
            if reading.has_passed(message) and message not in reading.seen:
                yield f"passed over by {reading.reader}: {_told(message)}"


def left_behind(record: Record) -> Iterator[str]:
    """Acknowledged, and beyond the cursor of a reader that has read to the end."""
    for reading in _readings(record):
        for message in record.acknowledged():
            if message.spot in reading.spots and not reading.has_passed(message):
                yield f"left behind: {reading.reader} did not come to {_told(message)}"


def unordered(record: Record) -> Iterator[str]:
    """Shown to a reader not in the order of time, or not between the cursors of its page."""
    for reader, pages in record.readers().items():
        last = OLDEST
        for page in pages:
            for message in page.found:
                if not last < _place(message) <= page.position:
                    yield f"out of order for {reader}: {_told(message)}"
                last = _place(message)
            if page.position < last:
                yield f"out of order for {reader}: its cursor goes back to {_written(page.position)}"
            last = page.position


def unexpected(record: Record, found: Sequence[Stored]) -> Iterator[str]:
    """Shown or there, although its key was used for something else, or each request for it was refused."""
    sent = {
        body for send in record.sends if send.outcome is not Outcome.FAILED and not send.reuse for body in send.bodies
    }
    shown = {message for page in record.pages for message in page.found}
    for message in sorted(shown.union(found), key=_place):
        if message.body not in sent:
            yield f"unexpected: {_told(message)}"


def torn(record: Record, found: Sequence[Stored]) -> Iterator[str]:
    """What has one key is there in part."""
    there = {message.body for message in found}
    for key, bodies in {send.key: send.bodies for send in record.sends if not send.reuse}.items():
        present = [body for body in bodies if body in there]
        if len(present) not in (0, len(bodies)):
            yield f"torn: of {key} there is {present}"


def disagreeing(record: Record) -> Iterator[str]:
    """Up to where both have come, two readers were not shown the same."""
    for one, other in combinations(_readings(record), 2):
        for message in sorted(one.seen ^ other.seen, key=_place):
            if one.has_passed(message) and other.has_passed(message):
                yield f"readers disagree: {_told(message)} was shown to one of {one.reader} and {other.reader}"


def reuse_missed(record: Record) -> Iterator[str]:
    """Something else under a key that was answered before is not refused."""
    for send in record.sends:
        if send.reuse and (send.outcome is Outcome.OK or send.status not in KEY_WAS_USED):
            yield f"not refused: another body for {send.key} was answered {send.status}"


def problems(record: Record, found: Sequence[Stored]) -> list[str]:
    """All that is wrong, some lines of each kind.

    :param found: what is there at the end.
    """
    checks: Mapping[str, Iterator[str]] = {
        "answers": iter(record.problems),
        "several ids": several_ids(record, found),
        "differing": differing(record),
        "new again": new_again(record),
        "lost": lost(record, found),
        "shown twice": shown_twice(record),
        "early": early(record),
        "passed over": passed_over(record),
        "left behind": left_behind(record),
        "unordered": unordered(record),
        "unexpected": unexpected(record, found),
        "torn": torn(record, found),
        "disagreeing": disagreeing(record),
        "reuse missed": reuse_missed(record),
    }
    return found_by(checks)


@attrs.frozen
class _Reading:
    """What one reader was shown, and how far it has come."""

    reader: str
    spots: frozenset[Spot]
    seen: frozenset[Stored]
    reached: Position

    def has_passed(self, message: Stored) -> bool:
        """Whether it must have been shown this, if anybody was."""
        return message.spot in self.spots and _place(message) <= self.reached


def _readings(record: Record) -> list[_Reading]:
    found = []
    for reader, pages in record.readers().items():
        spots = frozenset(Spot(page.queue, partition) for page in pages for partition in page.partitions)
        seen = frozenset(message for page in pages for message in page.found)
        found.append(_Reading(reader, spots, seen, max(page.position for page in pages)))
    return found


def _place(message: Stored) -> Position:
    return Position(message.id, message.spot.partition)


def _written(place: Position) -> str:
    return f"{place.id.hex()}-{place.partition}"


def _told(message: Stored) -> str:
    return f"{message.body} ({_written(_place(message))})"
