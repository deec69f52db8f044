"""What must hold of consumer groups after the power was cut: what claims and settlements were answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from queuey.model.groups.commands import Command, Ran, Settle, SettleAnswer, Take, TakeAnswer
from queuey.model.groups.rows import group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Outcome, Settlement, Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, SECOND, Ticks
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.writing.group_rows import StateRows
from tests.power.history import Effect, Position, StatePlace, World

QUEUE: Final = "worked on"
"""The queue of the groups, which no other operation changes: so all that their states hold follows from answers."""

PARTITIONS: Final = 2
NAMES: Final = ("g", "h")
PLAIN: Final = Terms()
LIFETIME: Final = 30 * 86_400
MAX_BYTES: Final = 1 << 20
FAR: Final = 3600.0
"""Seconds after which all leases have ended."""

_STATES: Final = "SELECT state, gid, partition FROM group_states WHERE queue IN (SELECT queue FROM queues)"
_ROWS: Final = "SELECT key, value FROM deliveries WHERE state = ? ORDER BY key"


def group_of(queue: Queue, name: str) -> Group:
    """Return the group of this name."""
    gid = name.encode().ljust(16, b".")
    return Group(queue.incarnation, name, gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")


def ran(gid: bytes, commands: Sequence[Command], now: Ticks) -> Effect:
    """What commands did, by their answers."""

    def effect(world: World, result: Ran) -> None:
        for command, answer in zip(commands, result.answers, strict=True):
            if isinstance(command, Settle):
                assert isinstance(answer, SettleAnswer)
                for one, outcome in zip(command.settlements, answer.outcomes, strict=True):
                    _settled(world, gid, one, outcome, now)
            else:
                assert isinstance(answer, TakeAnswer)
                for share in answer.shares:
                    place = (gid, share.partition)
                    position = world.groups.get(place, Position(share.generation))
                    given = {one.id: (one.number, one.until, one.deliveries) for one in share.taken}
                    last = max([position.last, *[one.number for one in share.taken]])
                    world.groups[place] = Position(share.generation, last, {**position.open, **given})

    return effect


def _settled(world: World, gid: bytes, one: Settlement, outcome: Outcome, now: Ticks) -> None:
    receipt, place = one.receipt, (gid, one.receipt.partition)
    position = world.groups[place]
    number, _, deliveries = position.open.get(receipt.id, (0, 0, 0))
    left = {id: entry for id, entry in position.open.items() if id != receipt.id}
    if outcome in (Outcome.RETRYING, Outcome.EXTENDED):
        left[receipt.id] = (number, Ticks(now + one.span), deliveries)
    elif outcome in (Outcome.ACKED, Outcome.SET_ASIDE):
        world.over.setdefault(place, {})[receipt.id] = receipt
    else:
        return
    world.groups[place] = Position(position.generation, position.last, left)


def positions(execute: Callable[..., list[Any]]) -> dict[StatePlace, Position]:
    """What is in the tables of a store about groups that were given something."""
    found: dict[StatePlace, Position] = {}
    for state, gid, partition in execute(_STATES):
        index = StateRows.read(state, execute(_ROWS, (state,))).index
        if index.last:
            opened = {id: (entry.number, entry.due, entry.deliveries) for id, entry in index.open.items()}
            found[gid, partition] = Position(index.generation, index.last, opened)
    return found


def as_they_are_worked_on(
    store: SQLiteStore, acknowledged: World, run: Callable[[Deferred[Any]], Any], wait: Callable[[float], None]
) -> Iterator[str]:
    """An acknowledged settlement is never undone: a repeat changes nothing, and no claim is given the message.

    :param wait: lets the wall clock go on.
    """
    queue = next((queue for queue in acknowledged.queues.values() if queue.name == QUEUE), None)
    if queue is None:
        return
    for (gid, partition), receipts in acknowledged.over.items():
        group = group_of(queue, gid.rstrip(b".").decode())
        again = Settle(tuple([Settlement(Action.ACK, receipt) for receipt in receipts.values()]))
        (answer,) = run(store.groups.run(queue, group, PLAIN, (again,))).answers
        if wrong := set(answer.outcomes) - {Outcome.ALREADY_ACKED, Outcome.STALE}:
            yield f"a settlement of {group.name} that is repeated is {wrong}"
        last = acknowledged.groups[gid, partition].last
        if run(store.groups.look(queue, group, partition)).last < last:
            yield f"lease numbers of {group.name} fell"
    wait(FAR)
    for name in NAMES:
        if group_key(queue.incarnation, name) in acknowledged.states:
            yield from _given_again(store, queue, group_of(queue, name), acknowledged, run)


def _given_again(
    store: SQLiteStore, queue: Queue, group: Group, acknowledged: World, run: Callable[[Deferred[Any]], Any]
) -> Iterator[str]:
    for partition in range(1, PARTITIONS + 1):
        over = acknowledged.over.get((group.gid, partition), {})
        wanted = Take((partition,), 1000, Ticks(SECOND), 1 << 30)
        given: set[Any] = set()
        while True:
            (answer,) = run(store.groups.run(queue, group, PLAIN, (wanted,))).answers
            taken = [one.id for share in answer.shares for one in share.taken]
            given.update(taken)
            if not taken:
                break
        if again := given & over.keys():
            yield f"{len(again)} settled messages of {group.name} are given again"
        opened = acknowledged.groups[group.gid, partition].open if (group.gid, partition) in acknowledged.groups else ()
        if missing := set(opened) - given:
            yield f"{len(missing)} leased messages of {group.name} are not given again"
