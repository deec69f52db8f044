"""Redrive: dead letters and set-aside messages become deliverable again in the group that gave them up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred

from queuey.core.groups.dead_letters import DeadLetters
from queuey.core.groups.rows import contended
from queuey.core.groups.values import Redriven, Redriving, WhyLeft
from queuey.deferreds import deferred
from queuey.errors import InvalidRequest, Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.groups.commands import Reopen, ReopenAnswer, TakeBack
from queuey.model.groups.entries import In, Target, key_hash
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Redrive, Returning, Terms
from queuey.model.messages.dead_letter_headers import key_of, letter_of
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import NEWEST, SLICE_ROWS, Merge, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, lower_bound

_AT_ONCE: Final = 16
"""Number of dead letters that are looked up together by address; it is small because each may be large."""

_ATTEMPTS: Final = 10
"""Number of attempts, with the pending moves of the partition carried out between them."""

_LOOKS: Final = 50
"""Number of attempts to look up dead letters and mark them, if other processes keep changing the state."""

_PLACE: Final = re.compile(r"(?:aside-([0-9]{1,3})|letters-([0-9a-f]{32})-([0-9]{1,3})|ids-([0-9]{1,4}))")


@attrs.frozen
class _Letter:
    """A dead letter of the group, with the address of its original message, and the reason."""

    message: Message
    original: Address
    reason: str

    @property
    def address(self) -> Address:
        """The address of the dead letter."""
        return Address(self.message.partition, self.message.id)


@attrs.frozen
class _Place:
    """The continuation point of a redrive: a partition for set-aside messages, a position among the dead letters, or an
    index into the list of ids."""

    aside: int = 0
    letters: Position | None = None
    ids: int = 0

    def text(self) -> str:
        """Return the text form, for ``Redriven.next``."""
        if self.letters is not None:
            return f"letters-{self.letters.id.hex()}-{self.letters.partition}"
        return f"aside-{self.aside}" if self.aside else f"ids-{self.ids}"


def _parse(text: str | None, by_ids: bool) -> _Place:
    """Parse ``Redriving.after``.

    :raise InvalidRequest: the text is not a continuation point.
    """
    if text is None:
        return _Place() if by_ids else _Place(aside=1)
    match = _PLACE.fullmatch(text)
    if match is None or (match[4] is not None) != by_ids:
        raise InvalidRequest({"after": "This is not the `next` of an earlier answer to the same redrive."})
    if match[2] is not None:
        return _Place(letters=Position(MessageId(bytes.fromhex(match[2])), int(match[3])))
    return _Place(ids=int(match[4])) if by_ids else _Place(aside=int(match[1]))


@attrs.frozen
class _Some:
    """The result for some messages.

    :ivar moved, copies, missing, left: as in ``Redriven``.
    :ivar full: whether the limit of messages in flight was reached.
    """

    moved: int = 0
    full: bool = False
    copies: int = 0
    missing: int = 0
    left: Counter[WhyLeft] = attrs.field(factory=Counter)

    def __add__(self, other: _Some) -> _Some:
        return _Some(
            self.moved + other.moved,
            self.full or other.full,
            self.copies + other.copies,
            self.missing + other.missing,
            self.left + other.left,
        )

    def again(self) -> _Some:
        """Return the result for messages that the next call looks at again: it counts those that are not moved."""
        return attrs.evolve(self, missing=0, left=Counter())

    def until(self, next: _Place | None) -> Redriven:
        """Return the result of a call that ends here.

        :param next: where another call goes on.
        """
        return Redriven(self.moved, None if next is None else next.text(), self.copies, self.missing, self.left)


@attrs.frozen
class Redrives:
    """Redrives messages that groups gave up.

    :ivar terms: returns the terms of a group.
    """

    store: IStore
    policies: IPolicies
    moves: DeadLetters
    terms: Callable[[Queue, Group], Coroutine[Deferred[Any], Any, Terms]]

    @deferred
    async def redrive(self, queue: Queue, group: Group, asked: Redriving) -> Redriven:
        """Redrive some messages: dead letters from the group's current dead-letter queue, and set-aside messages.

        It is idempotent: a repeated call redrives no message twice. If the limit of messages in flight is reached, it
        stops and returns a continuation point. If a copy of a dead letter cannot be stored, the
        dead letter stays where it is, and is counted in ``left``.

        :return: fails with ``InvalidRequest`` if ``after`` is not a continuation point of an earlier call,
            ``NoSuchGroup``, ``NoSuchQueue``, or ``Unavailable``, whose ``applied`` describes all messages together.
        """
        place = _parse(asked.after, asked.addresses is not None)
        letters = await self._letter_queue(queue, group)
        try:
            return await self._from(queue, group, letters, asked, place)
        except Unavailable as error:
            if error.applied == "no":
                error.applied = "unknown"  # messages that were redriven or marked before stay so
            raise

    async def _from(
        self, queue: Queue, group: Group, letters: Queue | None, asked: Redriving, place: _Place
    ) -> Redriven:
        if asked.addresses is not None:
            return await self._by_address(queue, group, letters, asked, asked.addresses, place.ids)
        done = _Some()
        if place.letters is None:
            left = None
            if not asked.reason:
                done, left = await self._aside(queue, group, asked, place.aside)
            if left is not None or letters is None:
                return done.until(left)
            place = _Place(letters=Position(lower_bound(asked.since or Ticks(0))))
        if letters is None or place.letters is None:
            return done.until(None)
        return await self._by_time(queue, group, letters, asked, place.letters, done)

    async def _letter_queue(self, queue: Queue, group: Group) -> Queue | None:
        name = group.settings.dead_letter
        return None if name is None else (await self.store.describe(queue.application, (name,)))[0]

    # By their addresses

    async def _by_address(
        self,
        queue: Queue,
        group: Group,
        letters: Queue | None,
        asked: Redriving,
        addresses: Sequence[Address],
        first: int,
    ) -> Redriven:
        done, end = _Some(), min(first + asked.limit, len(addresses))
        for start in range(first, end, _AT_ONCE):
            some = addresses[start : min(start + _AT_ONCE, end)]
            found = await self._those_at(queue, group, letters, asked, some)
            if found.full:
                return (done + found.again()).until(_Place(ids=start))
            done += found
        return done.until(None if end >= len(addresses) else _Place(ids=end))

    async def _those_at(
        self, queue: Queue, group: Group, letters: Queue | None, asked: Redriving, addresses: Sequence[Address]
    ) -> _Some:
        found = {} if letters is None else await self.moves.find(letters, addresses)
        every = _ours(found.values(), queue, group)
        ours = [letter for letter in every if asked.reason in letter.reason]
        done = _Some() if letters is None else await self._take_back(queue, group, letters, ours, dry=asked.dry)
        taken = {letter.address for letter in every}
        aside: dict[int, list[MessageId]] = {}
        for address in addresses:
            if address in taken:
                continue
            if 1 <= address.partition <= queue.settings.partitions and not asked.reason:
                aside.setdefault(address.partition, []).append(address.id)
            else:
                done += _Some(missing=1)
        for partition, ids in aside.items():
            done += await self._reopen(queue, group, partition, ids, dry=asked.dry)
        return done

    # By time

    async def _aside(self, queue: Queue, group: Group, asked: Redriving, first: int) -> tuple[_Some, _Place | None]:
        """Reopen messages that were set aside; return also the continuation point if some of them are left."""
        lower = LOWEST if asked.since is None else lower_bound(asked.since)
        upper = HIGHEST if asked.until is None else lower_bound(asked.until)
        done = _Some()
        for partition in range(first, queue.settings.partitions + 1):
            if done.moved >= asked.limit:
                return done, _Place(aside=partition)
            view = await self.store.groups.look(queue, group, partition)
            ids = [id for id in view.aside if lower <= id < upper]
            some = ids if asked.dry else ids[: asked.limit - done.moved]
            done += await self._reopen(queue, group, partition, some, dry=asked.dry)
            if done.full or len(some) < len(ids):
                return done, _Place(aside=partition)
        return done, None

    async def _by_time(
        self, queue: Queue, group: Group, letters: Queue, asked: Redriving, place: Position, done: _Some
    ) -> Redriven:
        policy = await self.policies.policy_for(queue.application)
        upper = NEWEST if asked.until is None else Position(lower_bound(asked.until))
        every = tuple(range(1, letters.settings.partitions + 1))
        merge = Merge(every, place, max(place, upper), limit=SLICE_ROWS)
        slice = await self.store.read_merged(letters, merge, policy.read_ack(letters.settings.consistency))
        ours = [letter for letter in _ours(slice.messages, queue, group) if asked.reason in letter.reason]
        next, over = slice.position, slice.over
        if len(ours) > asked.limit:
            ours, over = ours[: asked.limit], False
            next = Position(ours[-1].message.id, ours[-1].message.partition)
        taken = await self._take_back(queue, group, letters, ours, dry=asked.dry)
        if taken.full:
            return (done + taken.again()).until(_Place(letters=place))
        return (done + taken).until(None if over else _Place(letters=next))

    # Dead letters

    async def _take_back(
        self, queue: Queue, group: Group, letters: Queue, ours: Sequence[_Letter], *, dry: bool
    ) -> _Some:
        by_partition: dict[int, list[_Letter]] = {}
        for letter in ours:
            by_partition.setdefault(letter.original.partition, []).append(letter)
        done = _Some()
        for partition, some in by_partition.items():
            if dry:
                done += await self._would_take_back(queue, some)
            else:
                done += await self._take_back_to(queue, group, letters, partition, some)
        return done

    async def _would_take_back(self, queue: Queue, some: Sequence[_Letter]) -> _Some:
        """Find out what ``_take_back_to`` would do, unless the group has too many messages in flight."""
        there = 0
        for start in range(0, len(some), _AT_ONCE):
            originals = {letter.original for letter in some[start : start + _AT_ONCE]}
            found = await self.moves.find(queue, originals)
            there += sum(letter.original in found for letter in some[start : start + _AT_ONCE])
        gone = len(some) - there
        if queue.closed is not None:
            return _Some(there, left=+Counter({WhyLeft.QUEUE_CLOSED: gone}))
        return _Some(there + gone, copies=gone)

    async def _take_back_to(
        self, queue: Queue, group: Group, letters: Queue, partition: int, some: Sequence[_Letter]
    ) -> _Some:
        """Redrive dead letters whose original messages were in the same partition."""
        done = _Some()
        for _ in range(_ATTEMPTS):
            originals = await self.moves.find(queue, [letter.original for letter in some])
            for letter in some:
                if letter.original not in originals:
                    done += await self._copy(queue, group, partition, letters, letter)
            some = [letter for letter in some if letter.original in originals]
            keys = {address: key_hash(key_of(message.content)) for address, message in originals.items()}
            verdicts = await self._mark(queue, group, partition, letters, some, keys)
            needless = [letter.address for letter, verdict in verdicts if verdict is Redrive.NEEDLESS]
            if needless:
                await self.moves.remove(letters, needless)
            found = [verdict for _, verdict in verdicts]
            if Redrive.MARKED in found or Redrive.LATER in found:
                await self.moves.carry_out(queue, group, partition)
            done += _Some(len(needless) + found.count(Redrive.MARKED), Redrive.FULL in found)
            some = [letter for letter, verdict in verdicts if verdict is Redrive.LATER]
            if done.full or not some:
                return done
        raise contended()

    async def _copy(self, queue: Queue, group: Group, partition: int, letters: Queue, letter: _Letter) -> _Some:
        """Append a copy for the group if the original message is gone and the dead letter still exists.

        The dead letter stays if no copy of it can be stored, because the queue is closed or full, for example.
        """
        if await self.moves.find_one(letters, letter.address) is None:
            return _Some()
        refused = await self.moves.copy(queue, group, partition, letters, letter.message)
        if refused is not None:
            return _Some(left=Counter((refused,)))
        await self.moves.remove(letters, (letter.address,))
        return _Some(1, copies=1)

    async def _mark(
        self,
        queue: Queue,
        group: Group,
        partition: int,
        letters: Queue,
        some: Sequence[_Letter],
        keys: Mapping[Address, int],
    ) -> list[tuple[_Letter, Redrive]]:
        """Mark the messages of those dead letters that still exist.

        The state is read before the dead letters are looked up, and the store refuses the marks if another lease or
        mark was made in between: otherwise another process might have redriven the message, and the group might have
        settled it since.

        :param keys: the hashes of the messages' keys.
        """
        source, terms = Target(letters.name, letters.incarnation), await self.terms(queue, group)
        for _ in range(_LOOKS):
            view = await self.store.groups.look(queue, group, partition)
            there = await self.moves.find(letters, [letter.address for letter in some])
            some = [letter for letter in some if letter.address in there]
            if not some:
                return []
            asked = [
                Returning(one.original.id, In(source, one.message.partition, one.message.id), keys[one.original])
                for one in some
            ]
            command = TakeBack(partition, view.last, tuple(asked))
            (verdicts,) = (await self.store.groups.run(queue, group, terms, (command,))).answers
            if isinstance(verdicts, tuple):
                return list(zip(some, verdicts, strict=True))
        raise contended()

    # Set-aside messages

    async def _reopen(
        self, queue: Queue, group: Group, partition: int, asked: Sequence[MessageId], *, dry: bool
    ) -> _Some:
        """Reopen messages that were set aside; drop those that no longer exist."""
        if not asked:
            return _Some()
        aside = frozenset((await self.store.groups.look(queue, group, partition)).aside)
        ids = [id for id in asked if id in aside]
        missing = len(asked) - len(ids)
        if not ids:
            return _Some(missing=missing)
        found = await self.moves.find(queue, [Address(partition, id) for id in ids])
        there = tuple([id for id in ids if Address(partition, id) in found])
        gone = tuple([id for id in ids if Address(partition, id) not in found])
        if dry:
            return _Some(len(there), missing=missing)
        terms = await self.terms(queue, group)
        keys = tuple([key_hash(key_of(found[Address(partition, id)].content)) for id in there])
        (answer,) = (await self.store.groups.run(queue, group, terms, (Reopen(partition, there, gone, keys),))).answers
        assert isinstance(answer, ReopenAnswer)
        return _Some(answer.opened, answer.full, missing=missing)


def _ours(messages: Iterable[Message], queue: Queue, group: Group) -> list[_Letter]:
    """Return the dead letters of the group among some messages."""
    ours = []
    for message in messages:
        letter = letter_of(message.content)
        if letter is None or letter.gid != group.gid:
            continue
        address = letter.address
        if len(address.id) == len(LOWEST) and 1 <= address.partition <= queue.settings.partitions:
            ours.append(_Letter(message, address, letter.reason))
    return ours
