"""Random sequences of all operations, moves of the clock and restarts, against a model of a few lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from queuey.errors import Conflict, IdOutOfRange, KeyReused, NoSuchQueue, PreconditionFailed, StorageFull
from queuey.interfaces import AHEAD, Outcome, State
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Condition, Content, NewMessage, tag_of
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import (
    SECOND,
    MessageId,
    Ticks,
    ticks_of,
)
from tests import tried
from tests.contracts.machine_draws import (
    APPLICATIONS,
    CONDITIONS,
    CONTENTS,
    DELAYS,
    IDS,
    LIFETIMES,
    LIMITS,
    NAMES,
    PARTITIONS,
    PLACES,
    SELDOM,
    SETTINGS,
    TTLS,
    HoldableSubject,
    within,
)
from tests.contracts.machine_reads import StoreReads
from tests.contracts.model import Kept, Life
from tests.contracts.reading import once


class StoreMachine(StoreReads):
    """Each write is checked in the order of submission, at once or after the write batch in which it was held back."""

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
