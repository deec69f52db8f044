"""What clients of several front ends did and saw, and what must hold of it.

Each request is one operation: when it was sent, when it was answered, and what that says of it. A POST without an
answer stays open for ever: it may be there, or not. The checkers look at the history of all clients together, by one
clock, that of the machine on which they all run.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

import attrs

from queuey.model.timeid import LOWEST, MessageId, to_v1_hex

SHOWN: Final = 5
"""Problems of one kind that are told at the most."""

OPEN: Final = 3.0
"""Seconds for which a write may go on whose client was not told what became of it."""


class Outcome(Enum):
    """What is known of a POST."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@attrs.frozen
class Spot:
    """One partition of a queue."""

    queue: str
    partition: int


@attrs.frozen
class Stored:
    """One message, as an answer shows it."""

    spot: Spot
    id: MessageId
    body: str


@attrs.frozen
class Post:
    """One POST of one or several messages.

    :ivar process: the front end that it was sent to, by a name that it has until it ends.
    :ivar invoked: when it was sent, in seconds by a clock that is never set.
    :ivar ended: when it was answered, or given up.
    :ivar stored: where the messages are, in the order of ``bodies``; empty unless the outcome is OK.
    """

    process: str
    queue: str
    bodies: tuple[str, ...]
    invoked: float
    ended: float
    outcome: Outcome
    stored: tuple[Stored, ...] = ()


@attrs.frozen
class Poll:
    """One page that a reader was given.

    :ivar lower: it asked for ids at or above this one.
    :ivar full: whether the page ends because of its limit.
    """

    reader: str
    process: str
    spot: Spot
    lower: MessageId
    invoked: float
    ended: float
    found: tuple[Stored, ...]
    full: bool


class History:
    """All that was done, by however many threads.

    :ivar statuses: how many answers there were of each, by process.
    """

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.polls: list[Poll] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.problems: list[str] = []
        self._lock = threading.Lock()

    def add(self, operation: Post | Poll) -> None:
        """Note an operation that is over."""
        with self._lock:
            if isinstance(operation, Post):
                self.posts.append(operation)
            else:
                self.polls.append(operation)

    def answered(self, process: str, status: int) -> None:
        """Count an answer; 0 stands for none."""
        with self._lock:
            self.statuses[process, status] += 1

    def wrong(self, text: str) -> None:
        """Note an answer that should never be given."""
        with self._lock:
            self.problems.append(text)

    def acknowledged(self) -> Iterator[Stored]:
        """Every message whose POST was answered 201."""
        for post in self.posts:
            yield from post.stored

    def of_outcome(self, outcome: Outcome) -> list[Post]:
        """The POSTs that ended so."""
        return [post for post in self.posts if post.outcome is outcome]

    def summary(self) -> str:
        """How much was done, for a line of figures."""
        counts = Counter(post.outcome.value for post in self.posts)
        statuses = Counter[int]()
        for (_, status), number in self.statuses.items():
            statuses[status] += number
        answers = ", ".join(f"{number} of {status or 'none'}" for status, number in sorted(statuses.items()))
        return (
            f"{len(self.posts)} POSTs ({', '.join(f'{n} {word}' for word, n in sorted(counts.items()))}), "
            f"{sum(1 for _ in self.acknowledged())} messages acknowledged, {len(self.polls)} polls; answers: {answers}"
        )


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share of them is; 0 where there are none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * share))] if found else 0.0


# What must hold. Each checker yields one line for each thing that is wrong.


def lost(history: History, found: Sequence[Stored]) -> Iterator[str]:
    """Acknowledged, and not there at the end, where it was said to be."""
    there = set(found)
    for message in history.acknowledged():
        if message not in there:
            yield f"lost: {_told(message)}"


def doubled(found: Sequence[Stored]) -> Iterator[str]:
    """There twice, be it the id or the message."""
    for what, number in Counter((message.spot, message.id) for message in found).items():
        if number > 1:
            yield f"{number} times in {what[0]}: {to_v1_hex(what[1])}"
    for (queue, body), number in Counter((message.spot.queue, message.body) for message in found).items():
        if number > 1:
            yield f"{number} times: {body} in {queue}"


def unexpected(history: History, found: Sequence[Stored]) -> Iterator[str]:
    """There, although its POST was refused, or never sent."""
    sent = {(p.queue, body) for p in history.posts if p.outcome is not Outcome.FAILED for body in p.bodies}
    for message in found:
        if (message.spot.queue, message.body) not in sent:
            yield f"unexpected: {_told(message)}"


def torn(history: History, found: Sequence[Stored]) -> Iterator[str]:
    """A batch of which a part is there."""
    there = {(message.spot.queue, message.body) for message in found}
    for post in history.posts:
        present = sum((post.queue, body) in there for body in post.bodies)
        if present not in (0, len(post.bodies)):
            yield f"torn ({post.outcome.value}): {present} of {len(post.bodies)} of {post.bodies}"


def vanished(history: History, found: Sequence[Stored]) -> Iterator[str]:
    """Shown to a reader, and not there at the end."""
    there = set(found)
    for message in {message for poll in history.polls for message in poll.found} - there:
        yield f"shown, and gone: {_told(message)}"


def passed_over(history: History) -> Iterator[str]:
    """Acknowledged, and below what a reader has read up to, and never shown to that reader."""
    by_spot = defaultdict(list)
    for message in history.acknowledged():
        by_spot[message.spot].append(message)
    for (reader, spot), polls in _by_reader(history).items():
        seen = {message.id for poll in polls for message in poll.found}
        first = min(poll.lower for poll in polls)
        last = max(seen, default=LOWEST)
        for message in by_spot[spot]:
            if first <= message.id < last and message.id not in seen:
                yield f"passed over by {reader}: {_told(message)}"


def withheld(history: History, delays: Mapping[str, float]) -> Iterator[str]:
    """Acknowledged, and not in a page that was asked for more than so many seconds after that.

    :param delays: for each queue.
    """
    by_spot = defaultdict(list)
    for post in history.posts:
        for message in post.stored:
            by_spot[message.spot].append((post.ended + delays[post.queue], message))
    for due in by_spot.values():
        due.sort(key=lambda pair: pair[1].id)
    for polls in _by_reader(history).values():
        for poll in polls:
            yield from _withheld(poll, by_spot[poll.spot])


def withheld_alone(history: History) -> Iterator[str]:
    """Acknowledged, and not in a page that was asked for after that, with no other POST to the queue open just then."""
    ends = {queue: _Ends(history, queue) for queue in {post.queue for post in history.posts}}
    quiet = History()
    quiet.posts = history.posts
    quiet.polls = [
        poll for poll in history.polls if poll.spot.queue in ends and not ends[poll.spot.queue].open(poll.invoked)
    ]
    return withheld(quiet, dict.fromkeys(ends, 0.0))


class _Ends:
    """Tells how many POSTs to a queue were open at some time."""

    def __init__(self, history: History, queue: str) -> None:
        posts = [post for post in history.posts if post.queue == queue]
        self._begun = sorted(post.invoked for post in posts)
        self._ended = sorted(post.ended + (OPEN if post.outcome is Outcome.UNKNOWN else 0.0) for post in posts)

    def open(self, at: float) -> int:
        return bisect_left(self._begun, at) - bisect_left(self._ended, at)


def _withheld(poll: Poll, due: Sequence[tuple[float, Stored]]) -> Iterator[str]:
    found = {message.id for message in poll.found}
    end = poll.found[-1].id if poll.full and poll.found else b"\xff" * 16
    for time, message in due:
        if time < poll.invoked and poll.lower <= message.id <= end and message.id not in found:
            late = poll.invoked - time
            yield f"withheld from {poll.reader} at {poll.process}, {late:.3f} s late: {_told(message)}"


def unordered(history: History) -> Iterator[str]:
    """Shown to a reader behind what it was shown before, or below what it asked for."""
    for (reader, spot), polls in _by_reader(history).items():
        last = LOWEST
        for poll in polls:
            for message in poll.found:
                if message.id <= last or message.id < poll.lower:
                    yield f"out of order for {reader} in {spot}: {_told(message)}"
                last = message.id


def altered(history: History, found: Sequence[Stored]) -> Iterator[str]:
    """One id, and several bodies."""
    bodies: dict[tuple[Spot, MessageId], set[str]] = defaultdict(set)
    shown = [message for poll in history.polls for message in poll.found]
    for message in [*history.acknowledged(), *shown, *found]:
        bodies[message.spot, message.id].add(message.body)
    for (spot, id), several in bodies.items():
        if len(several) > 1:
            yield f"{to_v1_hex(id)} in {spot} is {sorted(several)}"


def falling(history: History, sole: bool) -> Iterator[str]:
    """Sent after another's answer, to the same process, and given a lower id.

    :param sole: whether that is asked of all processes together, of which one at a time serves.
    """
    processes = defaultdict(list)
    for post in history.of_outcome(Outcome.OK):
        processes["" if sole else post.process].append(post)
        ids = [message.id for message in post.stored]
        if ids != sorted(ids):
            yield f"within one POST ids do not rise: {post.bodies}"
    for posts in processes.values():
        yield from _falling(posts)


def _falling(posts: Sequence[Post]) -> Iterator[str]:
    ended = sorted(posts, key=lambda post: post.ended)
    highest, place = LOWEST, 0
    for post in sorted(posts, key=lambda post: post.invoked):
        while ended[place].ended < post.invoked:
            highest = max(highest, *(message.id for message in ended[place].stored))
            place += 1
        if min(message.id for message in post.stored) <= highest:
            yield f"not above an earlier one: {_told(post.stored[0])}"


def problems(history: History, found: Sequence[Stored], *, sole: bool, delays: Mapping[str, float]) -> list[str]:
    """All that is wrong, some lines of each kind.

    :param found: what is there at the end, read with nothing under way.
    :param sole: whether one front end at a time served.
    :param delays: for each queue, seconds after which an acknowledged message must show.
    """
    checks: Mapping[str, Iterator[str]] = {
        "answers": iter(history.problems),
        "lost": lost(history, found),
        "doubled": doubled(found),
        "unexpected": unexpected(history, found),
        "torn": torn(history, found),
        "vanished": vanished(history, found),
        "passed over": passed_over(history),
        "withheld": withheld(history, delays),
        "withheld alone": withheld_alone(history) if sole else iter(()),
        "unordered": unordered(history),
        "altered": altered(history, found),
        "falling": falling(history, sole),
    }
    return found_by(checks)


def found_by(checks: Mapping[str, Iterable[str]]) -> list[str]:
    """What checks have found, the first of each, and how much there is of it."""
    wrong = []
    for name, lines in checks.items():
        told = list(lines)
        wrong += told[:SHOWN]
        if len(told) > SHOWN:
            wrong.append(f"{name}: {len(told)} in all")
    return wrong


def _by_reader(history: History) -> dict[tuple[str, Spot], list[Poll]]:
    """The polls of each reader of each partition, in their order."""
    found = defaultdict(list)
    for poll in sorted(history.polls, key=lambda poll: poll.invoked):
        found[poll.reader, poll.spot].append(poll)
    return found


def _told(message: Stored) -> str:
    return f"{message.body} ({to_v1_hex(message.id)} in {message.spot.queue}, partition {message.spot.partition})"
