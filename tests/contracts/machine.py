"""Random sequences of all operations, moves of the clock and restarts, against a model of a few lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import Conflict, IdOutOfRange, KeyReused, NoSuchQueue, PreconditionFailed, StorageFull
from queuey.interfaces import AHEAD, IStore, Outcome, State
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, MAX_TTL, Address, Condition, Content, NewMessage, tag_of
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.reading.window import NEWEST, OLDEST, SLICE_BYTES, Merge, Position, Window
from queuey.model.timeid import (
    HIGHEST,
    LOWEST,
    MAX_TICKS,
    SECOND,
    MessageId,
    Ticks,
    from_seconds,
    make,
    successor,
    ticks_of,
)
from tests import tried
from tests.contracts.model import Kept, Life, Model
from tests.contracts.reading import check_merged, check_size, foreign_id, once, rest_of
from tests.contracts.subject import START, Subject

APPLICATIONS = st.sampled_from(["app", "app2"])
NAMES = st.sampled_from(["a", "ab", "b", "\uffff", "\U00010000"])
SETTINGS = st.builds(
    QueueSettings,
    st.sampled_from(QueueType),
    st.integers(1, 200),
    st.sampled_from(Consistency),
    st.lists(st.sampled_from(["app:x", "bid:a@b.example"]), unique=True).map(tuple),
    st.none() | st.sampled_from(Guarantee),
    st.none() | st.integers(1, MAX_TTL),
)
PARTITIONS = st.sampled_from([1, 1, 1, 2, 3])
TTLS = st.sampled_from([60, 60, 60, 8, 5, 2, 1])
DELAYS = st.sampled_from([0, 0, 0, 1, SECOND, 3 * SECOND, 9 * SECOND]).map(Ticks)
CONDITIONS = st.sampled_from(["any", "any", "absent", "present", "these", "others", "not these", "not others"])
LIFETIMES = st.sampled_from([3600, 3600, 10, 3])
CONTENTS = st.builds(
    Content, st.binary(max_size=12), st.none() | st.text("a\u00e9", max_size=4), st.none() | st.binary(max_size=3)
)
LIMITS = st.sampled_from([None, None, None, 10, 30, 60, 100])
SELDOM = st.sampled_from([False, False, False, True])
PLACES = st.integers(0, 40)
# How an id is chosen: one that is there, one that the store itself is about to make, or any other.
IDS = st.one_of(
    st.tuples(st.just("known"), PLACES),
    st.tuples(st.just("next"), st.integers(1, 4)),
    st.tuples(st.just("other"), st.integers(-20, 40)),
    st.tuples(st.just("extreme"), st.integers(0, 1)),
)
EXTREMES = (make(Ticks(0), 0, 0), make(MAX_TICKS, 0x3FFF, (1 << 48) - 1))

WORDS = (NoSuchQueue, StorageFull, Conflict, KeyReused, PreconditionFailed, IdOutOfRange)

Check = Callable[[Any], None]


class HoldableSubject(Subject, Protocol):
    """A subject whose write batches the machine may hold back; others answer at once.

    :ivar counts_bytes: whether it holds the limit on an application's bytes.
    :ivar clock_goes_back: whether its clock may be set back.
    :ivar stamps_all: whether its stable time goes with the clock, and it takes an id of now also for a message that has
        another.
    :ivar forgets_in_time: whether it remembers what was answered to a key for just as long as it is asked to.
    """

    @property
    def counts_bytes(self) -> bool: ...

    @property
    def clock_goes_back(self) -> bool: ...

    @property
    def forgets_in_time(self) -> bool: ...

    @property
    def stamps_all(self) -> bool: ...

    def hold(self) -> None:
        """Let writes wait."""

    def release(self) -> None:
        """Let all that wait go on, as one write batch."""


class StoreMachine(RuleBasedStateMachine):
    """Each write is checked in the order of submission, at once or after the write batch in which it was held back."""

    make_subject: Callable[[], HoldableSubject]

    def __init__(self) -> None:
        super().__init__()
        self.subject = type(self).make_subject()
        self.model = Model(from_seconds(START))
        self.held = False
        self.waiting: list[tuple[Deferred[Any], Check]] = []

    @property
    def store(self) -> IStore:
        return self.subject.store

    def teardown(self) -> None:
        self.let_go()
        for life in self.model.lives:
            self.compare_scan(life, Window((1, 2, 3)))
            self.compare_merge(life, Merge((1, 2, 3)))
            self.compare_count(life)
        self.result(self.subject.close())

    # How answers are had

    def result(self, answer: Deferred[Any]) -> Any:
        results: list[Any] = []
        answer.addBoth(results.append)
        assert results, "nothing came"
        if isinstance(results[0], Failure) and not results[0].check(*WORDS):
            results[0].raiseException()
        return results[0]

    def write(self, answer: Deferred[Any], check: Check) -> None:
        self.waiting.append((answer, check))
        if not self.held:
            self.let_go()

    def let_go(self) -> None:
        self.subject.release()
        self.held = False
        # Those of a check that fails are not looked at once more in the end: that would hide why it failed.
        waiting, self.waiting = self.waiting, []
        for answer, check in waiting:
            check(self.result(answer))

    def refused(self, result: Any, error: type[Exception], expected: bool | None) -> bool:
        """Whether an operation was refused with this word, which it must be exactly when expected, if that is known."""
        refused = isinstance(result, Failure) and result.check(error) is not None
        assert expected is None or refused == expected, (result, error, expected)
        return refused

    def pick(self, place: int) -> Queue:
        """A queue, living or, now and then, dead."""
        queues = [life.queue for life in self.model.lives] * 3 + self.model.dead[-2:]
        return queues[place % len(queues)]

    def pick_id(self, queue: Queue, choice: tuple[str, int]) -> MessageId:
        kind, number = choice
        if kind == "extreme":
            return EXTREMES[number]
        life = self.model.of(queue)
        known = sorted({address.id for address in life.messages}) if life else []
        if kind == "known" and known:
            return known[number % len(known)]
        if kind == "next" and self.model.last_id > EXTREMES[0]:
            last = self.model.last_id
            ticks = Ticks(max(ticks_of(last), self.model.clock) + number)
            return MessageId(make(ticks, 0, 0)[:8] + last[8:])
        return foreign_id(number)

    def limit_on(self, limit: int | None) -> int | None:
        """A limit on bytes, for stores that hold it."""
        return limit if self.subject.counts_bytes else None

    # Writes

    @initialize()
    def begin_with_queues(self) -> None:
        self.create("app", "a", QueueSettings(partitions=3), None)
        self.create("app2", "b", QueueSettings(partitions=3), None)

    @rule(application=APPLICATIONS, name=NAMES, chosen=SETTINGS, limit=st.none() | st.integers(1, 3))
    def create(self, application: str, name: str, chosen: QueueSettings, limit: int | None) -> None:
        clock = self.model.clock

        def check(result: Any) -> None:
            life = self.model.find(application, name)
            if life is not None:
                assert result == (life.queue, False)
                return
            full = limit is not None and len(self.model.names(application)) >= limit
            if self.refused(result, StorageFull, full):
                return
            queue, made = result
            assert made
            assert (queue.application, queue.name, queue.settings) == (application, name, chosen)
            assert queue.created == clock
            self.fresh(queue.version)
            assert all(queue.incarnation != old.incarnation for old in self.model.dead)
            self.model.lives.append(Life(queue))

        self.write(self.store.create(application, name, chosen, limit), check)

    def fresh(self, version: str) -> None:
        assert version not in self.model.versions
        self.model.versions.add(version)

    @rule(place=PLACES, really=SELDOM)
    def forget(self, place: int, really: bool) -> None:
        if not really:
            return
        queue = self.pick(place)

        def check(result: Any) -> None:
            life = self.model.of(queue)
            assert result is (life is not None)
            if life:
                self.model.lives.remove(life)
                self.model.dead.append(queue)

        self.write(self.store.forget(queue), check)

    @rule(place=PLACES, chosen=SETTINGS)
    def update(self, place: int, chosen: QueueSettings) -> None:
        queue = self.pick(place)
        chosen = attrs.evolve(chosen, partitions=max(chosen.partitions, queue.settings.partitions))

        def check(result: Any) -> None:
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            if self.refused(result, Conflict, life.queue.version != queue.version):
                return
            self.fresh(result.version)
            assert result.settings == chosen
            assert (result.incarnation, result.created) == (queue.incarnation, queue.created)
            life.queue = result

        self.write(self.store.update(queue, chosen), check)

    @rule(
        place=PLACES,
        messages=st.lists(st.builds(NewMessage, PARTITIONS, CONTENTS, TTLS, DELAYS), min_size=1, max_size=5),
        limit=LIMITS,
    )
    def append(self, place: int, messages: list[NewMessage], limit: int | None) -> None:
        self.append_to(self.pick(place), messages, limit)

    def append_to(self, queue: Queue, messages: list[NewMessage], limit: int | None) -> None:
        limit = self.limit_on(limit)
        messages = [replace(message, partition=within(queue, message.partition)) for message in messages]

        def check(result: Any) -> None:
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            size = sum(message.content.size for message in messages)
            if self.refused(result, StorageFull, self.model.is_over(queue.application, size, limit)):
                return
            self.stored(life, messages, result)

        self.write(self.store.append(queue, messages, WriteTerms(Ack.ONE, limit)), check)

    def stored(self, life: Life, messages: list[NewMessage], ids: Sequence[MessageId]) -> None:
        """Put into the model what the store has stored under these new ids."""
        assert len(ids) == len(messages)
        for id, message in zip(ids, messages, strict=True):
            assert ticks_of(id) > max(self.model.low, self.model.clock) + message.delay
            assert Address(message.partition, id) not in life.messages
            put = self.model.delayed if message.delay else self.model.appended
            put(life, id, message.partition, message.content, message.ttl)
            self.stamped(bool(message.delay))

    def stamped(self, count: int) -> None:
        """The store may have made so many ids of now that it has not returned."""
        if self.subject.stamps_all:
            self.model.stamped(count)

    @rule(
        place=PLACES,
        messages=st.lists(st.builds(NewMessage, PARTITIONS, CONTENTS, TTLS, DELAYS), min_size=1, max_size=3),
        limit=LIMITS,
        asked=st.builds(once, st.sampled_from([b"k", b"l"]), st.sampled_from([b"d", b"d", b"e"]), lifetime=LIFETIMES),
    )
    def append_once(self, place: int, messages: list[NewMessage], limit: int | None, asked: Once) -> None:
        if self.store.capabilities.not_once:
            return
        queue, limit = self.pick(place), self.limit_on(limit)
        messages = [replace(message, partition=within(queue, message.partition)) for message in messages]
        if not self.subject.forgets_in_time:
            asked = attrs.evolve(asked, lifetime=3600)

        def check(result: Any) -> None:
            self.stamped(len(messages))
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            kept = self.model.kept(life, asked.key)
            if self.refused(result, KeyReused, kept is not None and kept.digest != asked.digest):
                return
            if kept is not None:
                assert result == Appended(kept.addresses, kept.note, True)
                return
            size = sum(message.content.size for message in messages)
            if self.refused(result, StorageFull, self.model.is_over(queue.application, size, limit)):
                return
            assert [address.partition for address in result.addresses] == [message.partition for message in messages]
            assert (result.note, result.duplicate) == (asked.note, False)
            self.stored(life, messages, [address.id for address in result.addresses])
            expires = Ticks(self.model.clock + asked.lifetime * SECOND)
            life.keys[asked.key] = Kept(asked.digest, result.addresses, asked.note, expires)

        self.write(self.store.append_once(queue, messages, WriteTerms(Ack.MAJORITY, limit), asked), check)

    @rule(place=PLACES, number=st.integers(1, 8))
    def append_plainly(self, place: int, number: int) -> None:
        self.append_to(self.pick(place), [NewMessage(1, Content(b"plain"), 60)] * number, None)

    @rule(
        place=PLACES,
        where=st.lists(st.tuples(PARTITIONS, IDS), min_size=1, max_size=4),
        content=CONTENTS,
        ttl=TTLS,
        limit=LIMITS,
    )
    def replace(
        self, place: int, where: list[tuple[int, tuple[str, int]]], content: Content, ttl: int, limit: int | None
    ) -> None:
        self.replace_in(self.pick(place), where, content, ttl, limit)

    @rule(place=PLACES, choice=IDS, body=st.binary(max_size=9))
    def replace_plainly(self, place: int, choice: tuple[str, int], body: bytes) -> None:
        self.replace_in(self.pick(place), [(1, choice)], Content(body), 60, None)

    @rule(place=PLACES, ahead=st.integers(1, 4), number=st.integers(1, 4))
    def be_in_the_way(self, place: int, ahead: int, number: int) -> None:
        """Append after a client has put its message under an id that the store is about to make."""
        queue = self.pick(place)
        self.replace_in(queue, [(1, ("next", ahead))], Content(b"in the way"), 60, None)
        self.append_to(queue, [NewMessage(1, Content(b"delayed"), 60)] * number, None)

    def replace_in(
        self, queue: Queue, where: list[tuple[int, tuple[str, int]]], content: Content, ttl: int, limit: int | None
    ) -> None:
        addresses = [Address(within(queue, partition), self.pick_id(queue, choice)) for partition, choice in where]
        limit = self.limit_on(limit)

        def check(result: Any) -> None:
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            old = [life.messages[address].content.size for address in set(addresses) if address in life.messages]
            more = content.size * len(set(addresses)) - sum(old)
            if self.refused(result, StorageFull, self.model.is_over(queue.application, more, limit)):
                return
            assert result is None
            for address in addresses:
                self.model.replaced(life, address, content, ttl)

        self.write(self.store.replace(queue, addresses, content, ttl, WriteTerms(Ack.ONE, limit)), check)

    @rule(place=PLACES, partition=PARTITIONS, choice=IDS, condition=CONDITIONS, content=CONTENTS, ttl=TTLS)
    def put(
        self, place: int, partition: int, choice: tuple[str, int], condition: str, content: Content, ttl: int
    ) -> None:
        queue = self.pick(place)
        address = Address(within(queue, partition), self.pick_id(queue, choice))
        asked = self.condition(queue, address, condition)

        def check(result: Any) -> None:
            may_be_new = self.may_be_new(address.id)
            self.stamped(1)
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            old = life.messages.get(address)
            if self.refused(result, PreconditionFailed, not asked.holds(old)):
                return
            if self.refused(result, IdOutOfRange, None if old is None else False):
                assert may_be_new is not True
                return
            assert result is (old is None)
            assert old is not None or may_be_new is not False
            self.model.replaced(life, address, content, ttl)

        self.write(self.store.put(queue, address, content, ttl, asked, WriteTerms(Ack.ONE)), check)

    def condition(self, queue: Queue, address: Address, kind: str) -> Condition:
        """A condition of a kind; ``these`` is the message that is there now."""
        life = self.model.of(queue)
        message = life.messages.get(address) if life else None
        these = frozenset({tag_of(message)} if message else ())
        conditions = {
            "absent": Condition(absent=True),
            "present": Condition(present=True),
            "these": Condition(tags=these),
            "others": Condition(tags=frozenset({"x"})),
            "not these": Condition(others=these),
            "not others": Condition(others=frozenset({"x"})),
        }
        return conditions.get(kind, ANYWAY)

    def may_be_new(self, id: MessageId) -> bool | None:
        """Whether a new message may have an id; ``None`` where that hangs on what is not known of the stable time."""
        ticks = ticks_of(id)
        least, most = (max(bound, self.model.clock) for bound in (self.model.low, self.model.high))
        if most < ticks <= least + AHEAD:
            return True
        return False if ticks <= least or ticks > most + AHEAD else None

    @rule(place=PLACES, where=st.lists(st.tuples(PARTITIONS, IDS), max_size=4))
    def remove(self, place: int, where: list[tuple[int, tuple[str, int]]]) -> None:
        queue = self.pick(place)
        addresses = [Address(partition, self.pick_id(queue, choice)) for partition, choice in where]

        def check(result: Any) -> None:
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            there = [address for address in set(addresses) if life.messages.pop(address, None)]
            assert result == len(there)

        self.write(self.store.remove(queue, addresses, Ack.ONE), check)

    @rule(place=PLACES, choice=IDS, really=SELDOM)
    def purge(self, place: int, choice: tuple[str, int], really: bool) -> None:
        by_clock = self.subject.stamps_all
        if not really or self.model.low != self.model.high or (by_clock and self.held):
            return
        queue = self.pick(place)
        bound = self.pick_id(queue, choice)

        def check(result: Any) -> None:
            life = self.model.of(queue)
            if self.refused(result, NoSuchQueue, life is None) or life is None:
                return
            self.model.purge(life, bound, max(self.model.low, self.model.clock) if by_clock else self.model.low)

        self.write(self.store.purge(queue, bound, Ack.ONE), check)

    @rule(key=st.sampled_from(["k", "l"]), stale=st.booleans(), value=st.none() | st.binary(max_size=3))
    def set_state(self, key: str, stale: bool, value: bytes | None) -> None:
        state = self.model.states.get(key)
        version = state.version if state else None
        if stale:
            version = "x" if version is None else None
        fresh = f"state {len(self.model.versions)}"
        self.fresh(fresh)

        def check(result: Any) -> None:
            state = self.model.states.get(key)
            if (state.version if state else None) != version:
                assert result is Outcome.REFUSED
                return
            assert result is Outcome.APPLIED
            self.model.states.pop(key, None)
            if value is not None:
                self.model.states[key] = State(value, fresh)
                assert self.result(self.store.states.read(key)) == self.model.states[key]

        self.let_go()
        self.write(self.store.states.replace(key, version, value, fresh), check)

    # The clock, and restarts

    @rule()
    def hold(self) -> None:
        self.held = True
        self.subject.hold()

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        self.let_go()

    @rule(seconds=st.sampled_from([1, 1, 2, 4, 12]))
    def advance(self, seconds: int) -> None:
        self.let_go()
        self.result(self.subject.advance(seconds))
        self.model.set_clock(self.subject.wall.seconds)
        self.model.pass_time()

    @rule(seconds=st.integers(1, 8))
    def leap(self, seconds: int) -> None:
        """Set the clock forwards without any timer having run."""
        self.let_go()
        self.subject.wall.seconds += seconds
        self.model.set_clock(self.subject.wall.seconds)
        self.model.leap()

    # What has expired and is not swept would come to life again.
    @precondition(lambda self: self.subject.clock_goes_back and not self.model.unswept)
    @rule(seconds=st.integers(1, 20))
    def set_back(self, seconds: int) -> None:
        self.let_go()
        self.subject.wall.seconds -= seconds
        self.model.set_clock(self.subject.wall.seconds)

    @precondition(lambda self: self.subject.keeps)
    @rule()
    def restart(self) -> None:
        self.let_go()
        self.result(self.subject.reopen())
        self.model.pass_time()

    # Reads

    @rule(
        place=PLACES,
        partitions=st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True).map(tuple),
        lower=st.none() | IDS,
        upper=st.none() | IDS,
        descending=st.booleans(),
        limit=st.integers(1, 6),
    )
    def read_range(
        self,
        place: int,
        partitions: tuple[int, ...],
        lower: tuple[str, int] | None,
        upper: tuple[str, int] | None,
        descending: bool,
        limit: int,
    ) -> None:
        self.let_go()
        queue = self.pick(place)
        low = self.pick_id(queue, lower) if lower else LOWEST
        high = successor(self.pick_id(queue, upper)) if upper else HIGHEST
        self.compare_scan(self.model.of(queue) or Life(queue), Window(partitions, low, high, descending, limit))

    def compare_scan(self, life: Life, window: Window) -> None:
        found = []
        rest: Window | None = window
        while rest is not None:
            piece = self.result(self.store.read_range(life.queue, rest, Ack.ONE))
            check_size(piece)
            found += piece.messages
            rest = piece.rest
        if self.model.is_certain(life):
            assert found == self.model.shown(life, window)
        else:
            assert all(life.messages[Address(message.partition, message.id)] == message for message in found)

    @rule(
        place=PLACES,
        partitions=st.sets(st.integers(1, 4), max_size=4).map(lambda some: tuple(sorted(some))),
        lower=st.none() | st.tuples(IDS, st.integers(0, 4)),
        upper=st.none() | st.tuples(IDS, st.integers(0, 4)),
        descending=st.booleans(),
        limit=st.integers(1, 6),
        max_bytes=st.sampled_from([0, 8, 20, SLICE_BYTES, SLICE_BYTES]),
    )
    def read_merged(
        self,
        place: int,
        partitions: tuple[int, ...],
        lower: tuple[tuple[str, int], int] | None,
        upper: tuple[tuple[str, int], int] | None,
        descending: bool,
        limit: int,
        max_bytes: int,
    ) -> None:
        self.let_go()
        queue = self.pick(place)
        low = Position(self.pick_id(queue, lower[0]), lower[1]) if lower else OLDEST
        high = Position(self.pick_id(queue, upper[0]), upper[1]) if upper else NEWEST
        merge = Merge(partitions, low, high, descending, limit, max_bytes)
        self.compare_merge(self.model.of(queue) or Life(queue), merge)

    def compare_merge(self, life: Life, merge: Merge) -> None:
        found, rest, over = [], merge, False
        while not over:
            piece = self.result(self.store.read_merged(life.queue, rest, Ack.ONE))
            check_merged(rest, piece)
            assert piece.over or piece.position != (rest.upper if merge.descending else rest.lower)
            assert piece.purged == life.purged
            found += piece.messages
            rest, over = rest_of(rest, piece), piece.over
        if self.model.is_certain(life):
            assert found == self.model.merged(life, merge)
        else:
            assert all(life.messages[Address(message.partition, message.id)] == message for message in found)

    @rule(place=PLACES, where=st.lists(st.tuples(st.integers(1, 4), IDS), max_size=6))
    def lookup(self, place: int, where: list[tuple[int, tuple[str, int]]]) -> None:
        self.let_go()
        queue = self.pick(place)
        addresses = [Address(partition, self.pick_id(queue, choice)) for partition, choice in where]
        life = self.model.of(queue) or Life(queue)
        expected = [life.messages[address] for address in addresses if address in life.messages]
        piece = self.result(self.store.lookup(queue, addresses, Ack.ONE))
        assert (list(piece.messages), piece.rest) == (expected, None)

    @rule(place=PLACES)
    def count(self, place: int) -> None:
        self.let_go()
        queue = self.pick(place)
        self.compare_count(self.model.of(queue) or Life(queue))

    def compare_count(self, life: Life) -> None:
        assert self.result(self.store.count(life.queue, Ack.ONE)) == len(life.messages)

    @rule(application=APPLICATIONS, start=NAMES | st.just(""), prefix=NAMES | st.just(""), limit=st.integers(0, 4))
    def list_queues(self, application: str, start: str, prefix: str, limit: int) -> None:
        self.let_go()
        names = self.model.names(application)
        expected = [name for name in names if name >= start and name.startswith(prefix)][:limit]
        assert self.result(self.store.names(application, start, limit, prefix)) == tuple(expected)

    @rule(application=APPLICATIONS, names=st.lists(NAMES, max_size=4))
    def describe(self, application: str, names: list[str]) -> None:
        self.let_go()
        lives = [self.model.find(application, name) for name in names]
        expected = tuple(life.queue if life else None for life in lives)
        assert self.result(self.store.describe(application, names)) == expected

    @rule(key=st.sampled_from(["k", "l"]))
    def read_state(self, key: str) -> None:
        self.let_go()
        assert self.result(self.store.states.read(key)) == self.model.states.get(key)


def within(queue: Queue, partition: int) -> int:
    """One of the partitions that a queue has: messages are put into no others."""
    return (partition - 1) % queue.settings.partitions + 1


def run(make: Callable[[], HoldableSubject], examples: int, steps: int = 50) -> None:
    """Run the machine; ``QUEUEY_LONG=1`` in the environment makes it a hundred times as many examples."""

    class Machine(StoreMachine):
        make_subject = staticmethod(make)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=tried(examples, examples * 100),
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
