"""What must hold of a FIFO queue: each checker is a pure function of one history.

Each yields once for everything that it looks at: what is wrong with that, or ``None``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, pairwise
from math import inf
from typing import Final

import attrs

from tests.histories.sqs.record import Got, History, Outcome, Received

SLACK: Final = 0.25
"""Seconds by which a lease may be shorter than it seems to a client, whose clock is another one."""

MAX_SHOWN: Final = 5
"""Maximum number of lines of one checker that are shown."""

Findings = Iterator[str | None]


def lost(history: History) -> Findings:
    """A message was acknowledged, and it was not deleted by anybody until the queue was empty."""
    deleted = {one.message.body for one in history.settled if one.deletes}
    for body in sorted({one.body for one in history.acknowledged()}):
        yield None if body in deleted else f"lost: {body}"


def stored_twice(history: History) -> Findings:
    """One deduplication id has two messages, in answers to sends or in receives."""
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for sent in history.acknowledged():
        found[sent.body].add((sent.id or "", sent.number))
    for _, got in history.takes():
        found[got.body].add((got.id, got.number))
    for body, several in sorted(found.items()):
        yield None if len(several) == 1 else f"stored twice: {body} is {sorted(several)}"


def unexpected(history: History) -> Findings:
    """A message was received that was not sent, or in another group than that it was sent to."""
    groups = {one.body: one.group for one in history.sent}
    for _, got in history.takes():
        yield None if groups.get(got.body) == got.group else f"unexpected: {got.body} of the group {got.group}"


def out_of_order(history: History) -> Findings:
    """A message was received although an earlier one of its group was neither deleted nor in the same answer."""
    deletes = _deletes(history)
    groups = _groups(history)
    for receive in history.received:
        given: dict[str, int] = {}
        for got in receive.messages:
            last = given.get(got.group, -1)
            if got.number <= last:
                yield f"out of order in one answer: {got.body} after number {last} of the group {got.group}"
            given[got.group] = got.number
        beside = {got.number for got in receive.messages}
        for got in receive.messages:
            before = groups[got.group]
            early = [
                body
                for number, body in before.items()
                if number < got.number and number not in beside and deletes.get(body, inf) > receive.ended
            ]
            yield f"out of order: {got.body} before {len(early)} others, as {early[0]}" if early else None


def numbered_wrongly(history: History) -> Findings:
    """Of two messages of a group the second was sent after the first was acknowledged, and its number is smaller."""
    began: dict[str, float] = {}
    for sent in history.sent:
        began[sent.body] = min(sent.invoked, began.get(sent.body, inf))
    ended: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
    for sent in sorted(history.acknowledged(), key=lambda one: one.ended):
        ended[sent.group].setdefault(sent.body, (sent.ended, sent.number))
    for several in ended.values():
        done = list(several.values())
        greatest, at = -1, 0
        for body in sorted(several, key=lambda one: began[one]):
            while at < len(done) and done[at][0] < began[body]:
                greatest = max(greatest, done[at][1])
                at += 1
            number = several[body][1]
            yield None if number > greatest else f"numbered wrongly: {body} has {number}, one before it {greatest}"


def leased_twice(history: History) -> Findings:
    """A message was received again while it was hidden, by another attempt, and its visibility was not changed."""
    changes: dict[str, list[float]] = defaultdict(list)
    for settled in history.settled:
        if settled.visibility is not None and settled.outcome is not Outcome.REFUSED:
            changes[settled.message.body].append(settled.invoked)
    begins = _begins(history)
    for body, takes in sorted(_takes(history).items()):
        for one, other in combinations((receive for receive, _ in takes), 2):
            if one.attempt == other.attempt or other.invoked < one.ended:
                continue
            hidden = other.ended < begins[one.attempt] + one.visibility - SLACK
            changed = any(one.invoked <= at <= other.ended for at in changes[body])
            yield f"leased twice: {body} by {one.client} and {other.client}" if hidden and not changed else None


def came_back(history: History) -> Findings:
    """A message was received after its deletion was answered."""
    done: dict[str, float] = {}
    for settled in history.settled:
        if settled.deletes and settled.outcome is Outcome.DONE:
            done[settled.message.body] = min(settled.ended, done.get(settled.message.body, inf))
    for receive, got in history.takes():
        yield f"came back: {got.body}" if receive.invoked > done.get(got.body, inf) else None


def not_repeated(history: History) -> Findings:
    """A receive that was repeated with its attempt id, while its messages were hidden, gave others."""
    attempts: dict[str, list[Received]] = defaultdict(list)
    for receive in history.received:
        if receive.outcome is Outcome.DONE:
            attempts[receive.attempt].append(receive)
    touched = defaultdict(list)
    for settled in history.settled:
        touched[settled.message.body].append(settled.invoked)
    begins = _begins(history)
    for several in attempts.values():
        for one, other in pairwise(sorted(several, key=lambda receive: receive.invoked)):
            hidden = other.ended < begins[one.attempt] + one.visibility - SLACK
            changed = any(at <= other.ended for got in one.messages for at in touched[got.body])
            if one.messages and hidden and not changed:
                same = [got.handle for got in one.messages] == [got.handle for got in other.messages]
                yield None if same else f"not repeated: {one.attempt} gave {_bodies(one)}, and then {_bodies(other)}"


CHECKERS: Final[tuple[Callable[[History], Findings], ...]] = (
    lost,
    stored_twice,
    unexpected,
    out_of_order,
    numbered_wrongly,
    leased_twice,
    came_back,
    not_repeated,
)


@attrs.frozen
class Verdict:
    """What one checker says.

    :ivar looked: at how much it has looked.
    """

    checker: str
    looked: int
    wrong: tuple[str, ...]


def judge(history: History) -> list[Verdict]:
    """Let all checkers look at a history."""
    found = []
    for checker in CHECKERS:
        all_of_it = list(checker(history))
        found.append(Verdict(checker.__name__, len(all_of_it), tuple(one for one in all_of_it if one is not None)))
    return found


def problems(verdicts: list[Verdict]) -> list[str]:
    """Return what is wrong, some lines of each checker."""
    return [line for verdict in verdicts for line in verdict.wrong[:MAX_SHOWN]]


def _bodies(receive: Received) -> list[str]:
    return [got.body for got in receive.messages]


def _begins(history: History) -> Mapping[str, float]:
    """Return when each attempt began first: its messages are hidden from then on at the earliest."""
    found: dict[str, float] = {}
    for receive in history.received:
        found[receive.attempt] = min(receive.invoked, found.get(receive.attempt, inf))
    return found


def _takes(history: History) -> Mapping[str, list[tuple[Received, Got]]]:
    """Return the receives of each message, in the order in which they began."""
    found: dict[str, list[tuple[Received, Got]]] = defaultdict(list)
    for receive, got in sorted(history.takes(), key=lambda take: take[0].invoked):
        found[got.body].append((receive, got))
    return found


def _deletes(history: History) -> Mapping[str, float]:
    """Return when the first call began that may have deleted each message."""
    found: dict[str, float] = {}
    for settled in history.settled:
        if settled.deletes:
            found[settled.message.body] = min(settled.invoked, found.get(settled.message.body, inf))
    return found


def _groups(history: History) -> Mapping[str, dict[int, str]]:
    """Return the bodies of each group by their sequence numbers."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for sent in history.acknowledged():
        found[sent.group][sent.number] = sent.body
    for _, got in history.takes():
        found[got.group][got.number] = got.body
    return found
