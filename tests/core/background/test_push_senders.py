"""Which process sends a push, and the registry of pushes: processes that come, go and race, on one store in memory."""

from __future__ import annotations

from itertools import count
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.contention import Retries
from queuey.core.pushes.registry import PushRegistry
from queuey.core.pushes.senders import BEAT, DEAD, Senders
from queuey.errors import StorageFull
from queuey.interfaces import IStore
from queuey.interfaces.states import IStateStore, State
from queuey.model.pushes.places import (
    INDEX,
    MAX_ATTEMPTS,
    Attempt,
    PushPlace,
    PushReport,
    UnreadablePushes,
    decode_report,
    decode_shard,
    encode_report,
    encode_shard,
)
from queuey.model.timeid import Ticks
from queuey.storage.memory import MemoryStore

PLACES = tuple(PushPlace("app", "q", 7, f"p{number}") for number in range(200))


class StoreCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.random = Clock(), Random(7)
        numbers = count(1)
        make = self.random.getrandbits
        self.store: IStore = MemoryStore(
            self.clock, self.clock.seconds, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", make
        )
        self.store.open()


class SendersTests(StoreCase):
    def sender(self, alone: bool = False) -> Senders:
        return Senders(self.store.states, self.clock, self.random.randbytes, alone)

    def pass_time(self, seconds: float, *senders: Senders) -> None:
        """Let time go by, in which these processes live."""
        for _ in range(round(seconds / BEAT) or 1):
            self.clock.advance(BEAT)
            for sender in senders:
                self.successResultOf(sender.beat())

    def owners(self, *senders: Senders) -> list[int]:
        """How many of the processes own each push."""
        living = [sender.living for sender in senders]
        return [sum(one.owns(place, alive) for one, alive in zip(senders, living, strict=True)) for place in PLACES]

    def test_alone(self) -> None:
        """One process owns everything at once, and stores nothing."""
        sender = self.sender(alone=True)
        self.assertEqual(self.owners(sender), [1] * len(PLACES))
        self.successResultOf(sender.beat())
        self.assertIsNone(self.successResultOf(self.store.states.read("pushes/senders")))

    def test_shared(self) -> None:
        """Several processes share the pushes: each push has one owner, and no process has more than its part."""
        senders = [self.sender() for _ in range(4)]
        self.pass_time(BEAT * 5, *senders)
        self.assertEqual(self.owners(*senders), [1] * len(PLACES))
        for sender in senders:
            owned = sum(sender.owns(place, sender.living) for place in PLACES)
            self.assertTrue(25 <= owned <= 75, owned)

    def test_joins(self) -> None:
        """At no time does a push have two owners while a process joins."""
        senders = [self.sender()]
        self.pass_time(BEAT * 3, *senders)
        self.assertEqual(self.owners(*senders), [1] * len(PLACES))
        senders.append(self.sender())
        for _ in range(6):
            self.successResultOf(senders[1].beat())
            self.assertLessEqual(max(self.owners(*senders)), 1)
            self.pass_time(BEAT, *senders)
            self.assertLessEqual(max(self.owners(*senders)), 1)
        self.assertEqual(self.owners(*senders), [1] * len(PLACES))

    def test_dies(self) -> None:
        """The others take over once it is silent for a while; it stops before that, and what it comes back to is
        shared again."""
        senders = [self.sender() for _ in range(3)]
        self.pass_time(BEAT * 5, *senders)
        dead, *left = senders
        for _ in range(8):
            self.pass_time(BEAT, *left)
            self.assertLessEqual(max(self.owners(*senders)), 1)
        self.assertEqual(self.owners(*left), [1] * len(PLACES))
        self.assertEqual(dead.living, frozenset())
        for _ in range(5):
            self.pass_time(BEAT, *senders)
            self.assertLessEqual(max(self.owners(*senders)), 1)
        self.assertEqual(self.owners(*senders), [1] * len(PLACES))

    def test_leaves(self) -> None:
        """One that leaves is replaced with the next beat."""
        senders = [self.sender() for _ in range(2)]
        self.pass_time(BEAT * 5, *senders)
        self.successResultOf(senders[0].leave())
        self.pass_time(BEAT, senders[1])
        self.assertEqual(self.owners(senders[1]), [1] * len(PLACES))
        self.assertLess(BEAT, DEAD)


@implementer(IStateStore)
class NotedStates:
    """Notes which keys are read."""

    def __init__(self, states: IStateStore) -> None:
        self.keys: list[str] = []
        self.replace = states.replace
        self._states = states

    def read(self, key: str) -> Deferred[State | None]:
        self.keys.append(key)
        found: Deferred[State | None] = self._states.read(key)
        return found


class RegistryTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.states = NotedStates(self.store.states)

    def registry(self) -> PushRegistry:
        return PushRegistry(self.states, Retries(self.clock, self.random.randbytes), self.random.randbytes)

    def test_seen_by_others(self) -> None:
        """A push that one process lists is seen by another one, and so is each change of it."""
        here, there = self.registry(), self.registry()
        self.assertEqual(self.successResultOf(there.refresh()), frozenset())
        self.successResultOf(here.note(PLACES[0]))
        self.assertEqual(self.successResultOf(there.refresh()), {PLACES[0]})
        self.assertEqual(there.known, {PLACES[0]})
        self.assertEqual(self.successResultOf(there.refresh()), frozenset())
        self.successResultOf(here.note(PLACES[0]))
        self.assertEqual(self.successResultOf(there.refresh()), {PLACES[0]})

    def test_others_of_a_shard(self) -> None:
        """Only the push that was changed is reported, and one that is gone, not the others of their shard."""
        here, there = self.registry(), self.registry()
        made = [PushPlace("app", "q", 7, f"p{number}") for number in range(2000)]
        one, other, third = [place for place in made if place.shard == made[0].shard][:3]
        for place in (one, other, third):
            self.successResultOf(here.note(place))
        self.assertEqual(self.successResultOf(there.refresh()), {one, other, third})
        self.successResultOf(here.note(other))
        self.assertEqual(self.successResultOf(there.refresh()), {other})

        async def gone(place: PushPlace) -> bool:
            return False

        self.successResultOf(here.drop(third, gone))
        self.assertEqual((self.successResultOf(there.refresh()), there.known), ({third}, {one, other}))

    def test_read(self) -> None:
        """All of them are read as they are now, at the cost of what has changed; the next refresh tells the same."""
        here, there = self.registry(), self.registry()
        for place in PLACES:
            self.successResultOf(here.note(place))
        self.assertEqual(self.successResultOf(there.read()), set(PLACES))
        self.assertEqual(self.successResultOf(there.refresh()), set(PLACES))
        self.successResultOf(here.note(PLACES[0]))
        del self.states.keys[:]
        for _ in range(2):
            self.assertEqual(self.successResultOf(there.read()), set(PLACES))
        self.assertEqual(self.states.keys, [INDEX, f"{INDEX}/{PLACES[0].shard}", INDEX])
        self.assertEqual(self.successResultOf(there.refresh()), {PLACES[0]})
        self.assertEqual(self.successResultOf(there.refresh()), frozenset())

    def test_many(self) -> None:
        here, there = self.registry(), self.registry()
        noted = [(here, there)[at % 2].note(place) for at, place in enumerate(PLACES)]
        self.clock.pump([0.1] * 60)
        for one in noted:
            self.successResultOf(one)
        self.successResultOf(there.refresh())
        self.assertEqual(there.known, set(PLACES))

    def test_dropped(self) -> None:
        """A push that is gone is dropped; one that is made at that moment stays."""
        here, there = self.registry(), self.registry()
        self.successResultOf(here.note(PLACES[0]))
        asked = []

        async def exists(place: PushPlace) -> bool:
            asked.append(place)
            if len(asked) == 1:
                await there.note(place)  # it is made while we look
                return False
            return True

        dropping = here.drop(PLACES[0], exists)
        self.clock.pump([0.1] * 20)
        self.successResultOf(dropping)
        self.successResultOf(here.refresh())
        self.assertEqual((here.known, len(asked)), ({PLACES[0]}, 2))

        async def gone(place: PushPlace) -> bool:
            return False

        self.successResultOf(here.drop(PLACES[0], gone))
        self.successResultOf(here.refresh())
        self.assertEqual(here.known, frozenset())

    def test_full(self) -> None:
        """An application with very many pushes can make no more, but change those that it has; others can make some."""
        registry = self.registry()
        numbered = (PushPlace("app", "q" * 80, 7, f"p{number}") for number in range(40_000))
        own = [place for place in numbered if place.shard == "00"]
        other = next(one for one in (PushPlace("other", "q", 7, f"p{n}") for n in count()) if one.shard == "00")
        noted = [registry.note(place) for place in (*own, other)]
        self.clock.pump([0.1] * 60)
        listed = self.successResultOf(registry.read())
        for place, one in zip((*own, other), noted, strict=True):
            if place in listed:
                self.successResultOf(one)
            else:
                self.failureResultOf(one, StorageFull)
        self.assertTrue(50 < len(listed) < len(own))
        self.assertIn(other, listed)
        self.successResultOf(registry.note(own[0]))

    def test_damaged(self) -> None:
        """What cannot be read is said to be so."""
        for value in (b"", b"[]", b'{"format":2}', b'{"format":1}', b'{"format":1,"pushes":[1]}'):
            with self.assertRaises(UnreadablePushes):
                decode_shard(value)
        self.assertEqual(INDEX, "pushes")


class FormatTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        stamps = {place: f"{number}" for number, place in enumerate(PLACES)}
        self.assertEqual(decode_shard(encode_shard(stamps)), stamps)
        attempt = Attempt(Ticks(7), "x" * 36, 65_535, None, 300_000, "reply-not-stored")
        report = PushReport(Ticks(5), 12, "why", (attempt,) * MAX_ATTEMPTS)
        self.assertEqual(decode_report(encode_report(report)), report)
        self.assertLess(len(encode_report(report)), 32 << 10)
        for value in (b"", b"{}", b'{"format":1,"failing":null}'):
            with self.assertRaises(UnreadablePushes):
                decode_report(value)
