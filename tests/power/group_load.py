"""The load on a store that loses its power, with workers of consumer groups among it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from queuey.model.groups.commands import Command, Ran, Settle, Take, TakeAnswer
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Settlement
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import SECOND, Ticks
from tests.power.group_checks import LIFETIME, MAX_BYTES, NAMES, PARTITIONS, PLAIN, QUEUE, group_of, ran
from tests.power.history import World, appended, created, state_replaced
from tests.power.load import TERMS, Load, Operations


class GroupLoad(Load):
    """The same load, and workers of two groups among it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._queue: Queue | None = None
        self._groups: dict[str, Group] = {}
        self._receipts: dict[str, list[Receipt]] = {name: [] for name in NAMES}

    def _take_over(self, world: World) -> None:
        """Go on with the groups that a cut has left."""
        super()._take_over(world)
        for queue in world.queues.values():
            if queue.name == QUEUE:
                self._queue = queue
                del self._queues[queue.incarnation]
                self._known = [one for one in self._known if one[0] is not queue]
                for name in NAMES:
                    if group_key(queue.incarnation, name) in world.states:
                        self._groups[name] = group_of(queue, name)
        assert self._queue is not None or not world.groups
        for (gid, partition), position in world.groups.items():
            assert self._queue is not None
            for id, (number, _, _) in position.open.items():
                receipt = Receipt(self._queue.incarnation, position.generation, partition, id, number)
                self._receipts[gid.rstrip(b".").decode()].append(receipt)

    def _work(self) -> None:
        """Do something for a group; at first the queue and the groups are made."""
        name = self.random.choice(NAMES)
        queue, group = self._queue, self._groups.get(name)
        if queue is None:
            self._make_queue()
        elif group is None:
            self._make_group(queue, name)
        else:
            match self.random.randrange(5):
                case 0:
                    self._post(queue)
                case 1:
                    self._run(queue, group, [self._taking()])
                case 2:
                    self._run(queue, group, [self._settling(name)])
                case _:
                    self._run(queue, group, [self._settling(name), self._taking()])

    def _make_queue(self) -> None:
        def known(result: tuple[Queue, bool]) -> tuple[Queue, bool]:
            self._queue = result[0]
            return result

        settings = QueueSettings(partitions=PARTITIONS)

        def make() -> Deferred[Any]:
            return self.store.create("app", QUEUE, settings, None).addCallback(known)

        self.history.watch("create the queue of the groups", make, created)

    def _make_group(self, queue: Queue, name: str) -> None:
        group = group_of(queue, name)
        key, value = group_key(queue.incarnation, name), encode_group(group)

        def known(outcome: Any) -> Any:
            self._groups[name] = group
            return outcome

        def make() -> Deferred[Any]:
            return self.store.states.replace(key, None, value, "v").addCallback(known)

        self.history.watch(f"create the group {name}", make, state_replaced(key, value))

    def _post(self, queue: Queue) -> None:
        number = self.random.choice((1, 5, 30))
        messages = [NewMessage(self.random.randint(1, PARTITIONS), self._content(), LIFETIME) for _ in range(number)]
        self.history.watch(
            f"append {number} for the groups",
            lambda: self.store.append(queue, messages, TERMS),
            appended(queue, messages, self._now),
        )

    def _taking(self) -> Take:
        partitions = self.random.choice(((1,), (2,), (1, 2), (2, 1)))
        return Take(partitions, self.random.choice((1, 3, 20)), Ticks(self.random.randint(1, 20) * SECOND), MAX_BYTES)

    def _settling(self, name: str) -> Settle:
        """Settle some of what was given, mostly of late; some receipts are used up."""
        receipts = self._receipts[name][-40:]
        chosen = self.random.sample(receipts, min(len(receipts), self.random.choice((0, 1, 1, 4))))
        actions = (Action.ACK, Action.ACK, Action.ACK, Action.RETRY, Action.EXTEND, Action.REJECT)
        span = Ticks(self.random.randint(1, 20) * SECOND)
        return Settle(tuple([Settlement(self.random.choice(actions), one, span) for one in chosen]))

    def _run(self, queue: Queue, group: Group, commands: Sequence[Command]) -> None:
        commands = [one for one in commands if not isinstance(one, Settle) or one.settlements]
        if not commands:
            return

        def known(result: Ran) -> Ran:
            for answer in result.answers:
                if isinstance(answer, TakeAnswer):
                    for share in answer.shares:
                        for one in share.taken:
                            place = (queue.incarnation, share.generation, share.partition)
                            self._receipts[group.name].append(Receipt(*place, one.id, one.number))
            return result

        self.history.watch(
            f"{' and '.join([type(one).__name__.lower() for one in commands])} for {group.name}",
            lambda: self.store.groups.run(queue, group, PLAIN, commands).addCallback(known),
            ran(group.gid, commands, self._now),
        )

    _OPERATIONS: Operations = (*Load._OPERATIONS, (_work, 40))
