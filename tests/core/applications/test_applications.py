"""Applications of the store: kept in shards, cached for a while, and changed by one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.applications.owners import KeyOwners
from queuey.core.applications.registry import Given, Registry
from queuey.core.applications.stored import INDEX, StoredApplications
from queuey.core.contention import Retries
from queuey.core.policies import GivenPolicies, Policies, StoredPolicies
from queuey.errors import (
    NoSuchApplication,
    QueueyError,
    Unavailable,
)
from queuey.interfaces import IStateStore, Outcome, State
from queuey.model.applications.application import Application, digest_of, encode_shard, shard_of
from queuey.model.applications.policy import Policy
from queuey.model.queues.queue import Consistency
from queuey.storage.memory import MemoryStore

NOW = 1_700_000_000.0
MAX_BODY = 1000


@implementer(IStateStore)
class Watched:
    """States that are counted, held back, and answered wrongly where a test says so."""

    def __init__(self, states: IStateStore) -> None:
        self.states = states
        self.reads: list[str] = []
        self.fails: QueueyError | None = None
        self.held: list[tuple[Deferred[Any], Deferred[Any]]] | None = None
        self.before_replace: Callable[[str], None] = lambda key: None
        self.unknown: Callable[[str], bool] = lambda key: False
        self.lost: Callable[[str], bool] = lambda key: False

    def read(self, key: str) -> Deferred[State | None]:
        self.reads.append(key)
        if self.fails is not None:
            return fail(self.fails)
        found = self.states.read(key)
        if self.held is None:
            return found
        waiting: Deferred[State | None] = Deferred()
        self.held.append((waiting, found))
        return waiting

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        self.before_replace(key)
        if self.lost(key):
            return succeed(Outcome.UNKNOWN)
        done = self.states.replace(key, version, value, fresh)
        return done.addCallback(lambda _: Outcome.UNKNOWN) if self.unknown(key) else done

    def release(self) -> None:
        held, self.held = self.held or [], None
        for waiting, found in held:
            found.chainDeferred(waiting)


class FrontEnd:
    """What one front end makes of a store that it may share."""

    def __init__(self, store: MemoryStore, clock: Clock, name: str) -> None:
        self.states = Watched(store.states)
        self.max_age = 1.0
        self.given: dict[str, Policy] = {"ini": Policy("ini", MAX_BODY)}
        self.digests = {digest_of("ini-key"): "ini"}
        self.max_body = MAX_BODY
        versions, keys = count(), count()
        self.stored = StoredApplications(
            self.states, Retries(clock, Random(3).randbytes), lambda: self.max_age, lambda: f"{name}{next(versions)}"
        )
        named = self.given.__contains__
        self.owners = KeyOwners(lambda: self.digests, named, self.stored, lambda: NOW + clock.seconds())
        self.stored_policies = StoredPolicies(self.stored, lambda: self.max_body, lambda: self.given)
        self.policies = Policies(GivenPolicies(lambda: self.given), self.stored_policies)
        self.store = store
        self.registry = self.make_registry(counts_bytes=True)
        self.new_keys = keys

    def make_registry(self, counts_bytes: bool) -> Registry:
        return Registry(
            self.stored,
            self.owners,
            self.store,
            lambda: Given(self.given, self.digests, self.max_body, ("browserid",)),
            counts_bytes,
            lambda: NOW,
            lambda: f"made-key-{next(self.new_keys)}",
        )


class ApplicationsCase(SynchronousTestCase):
    """Two front ends on one store."""

    def setUp(self) -> None:
        self.clock, versions = Clock(), count()
        told, bits = self.clock.seconds, Random(1).getrandbits
        self.store = MemoryStore(self.clock, told, 1 << 24, 1 << 40, 1, lambda: f"v{next(versions)}", bits)
        self.store.open()
        self.a, self.b = FrontEnd(self.store, self.clock, "a"), FrontEnd(self.store, self.clock, "b")

    def set(self, front: FrontEnd, name: str = "shop", make: bool = True, **members: Any) -> Any:
        return self.successResultOf(front.registry.set(name, members, None, make))

    def key(self, front: FrontEnd, name: str = "shop") -> str:
        _, _, text = self.successResultOf(front.registry.add_key(name, None))
        assert text is not None
        return text

    def owner(self, front: FrontEnd, key: str) -> str | None:
        return self.successResultOf(front.owners.owner(digest_of(key)))

    def policy(self, front: FrontEnd, name: str = "shop") -> Policy:
        return self.successResultOf(front.policies.policy_for(name))

    def unknown(self, front: FrontEnd, name: str = "shop") -> None:
        self.failureResultOf(front.policies.policy_for(name), NoSuchApplication)


class ServingTests(ApplicationsCase):
    """What requests meet."""

    def test_a_policy_is_what_was_said_and_the_rest_its_default(self) -> None:
        self.unknown(self.a)
        self.set(self.a, ttl=60, consistency="weak", create_queues="on-write", cors_origins=["https://a.example"])
        self.assertEqual(
            self.policy(self.a),
            Policy(
                "shop",
                MAX_BODY,
                ttl=60,
                consistency=Consistency.WEAK,
                create_on_write=True,
                cors_origins=("https://a.example",),
            ),
        )
        self.assertEqual(self.policies_origins(), ("https://a.example",))

    def policies_origins(self) -> tuple[str, ...]:
        return self.a.policies.origins("shop")

    def test_a_change_is_in_force_at_once_here_and_after_a_while_elsewhere(self) -> None:
        self.set(self.a, ttl=60)
        self.assertEqual(self.policy(self.b).ttl, 60)
        self.set(self.a, ttl=61)
        self.assertEqual((self.policy(self.a).ttl, self.policy(self.b).ttl), (61, 60))
        self.clock.advance(1.0)
        self.assertEqual(self.policy(self.b).ttl, 61)

    def test_a_key_lets_in_until_it_is_revoked(self) -> None:
        self.set(self.a)
        old = self.key(self.a)
        new = self.key(self.a)
        self.assertEqual([self.owner(self.b, key) for key in (old, new, "another")], ["shop", "shop", None])
        id = self.successResultOf(self.a.registry.find("shop")).keys[0].id
        self.successResultOf(self.a.registry.revoke_key("shop", id))
        self.assertEqual([self.owner(self.a, key) for key in (old, new)], [None, "shop"])
        self.clock.advance(1.0)
        self.assertEqual([self.owner(self.b, key) for key in (old, new)], [None, "shop"])

    def test_strangers_cost_one_read_a_while(self) -> None:
        self.unknown(self.a)
        for number in range(1000):
            self.unknown(self.a, f"nobody{number}")
            self.assertIsNone(self.owner(self.a, f"guess{number}"))
        self.assertEqual(self.a.states.reads, [INDEX])

    def test_what_did_not_change_is_not_read_again(self) -> None:
        self.set(self.a)
        self.unknown(self.b, "other")
        del self.b.states.reads[:]
        for _ in range(3):
            self.clock.advance(1.0)
            self.policy(self.b)
        self.assertEqual(self.b.states.reads, [INDEX] * 3)

    def test_it_is_read_anew_before_anybody_has_to_wait(self) -> None:
        self.set(self.a)
        self.policy(self.a)
        self.a.states.held = []
        self.clock.advance(0.6)
        self.assertEqual(self.policy(self.a).ttl, Policy("", 1).ttl)
        self.policy(self.a)
        self.assertEqual(len(self.a.states.held), 1)
        self.clock.advance(0.4)
        waiting = self.a.policies.policy_for("shop")
        self.assertNoResult(waiting)
        self.a.states.release()
        self.assertEqual(self.successResultOf(waiting).application, "shop")

    def test_with_no_time_at_all_each_request_reads(self) -> None:
        self.a.max_age = 0
        self.set(self.b)
        self.policy(self.a)
        self.set(self.b, ttl=7)
        self.assertEqual(self.policy(self.a).ttl, 7)

    def test_many_who_ask_at_once_cost_one_read(self) -> None:
        self.a.states.held = []
        asking = [self.a.policies.policy_for("shop") for _ in range(50)]
        self.assertEqual(len(self.a.states.held), 1)
        asking[0].cancel()
        self.failureResultOf(asking[0])
        self.a.states.release()
        for one in asking[1:]:
            self.failureResultOf(one, NoSuchApplication)

    def test_where_the_store_does_not_answer_nobody_is_unknown_and_nothing_old_is_in_force(self) -> None:
        self.set(self.a)
        key = self.key(self.a)
        self.a.states.fails = Unavailable("The store is away.")
        self.clock.advance(0.9)
        self.assertEqual((self.policy(self.a).application, self.owner(self.a, key)), ("shop", "shop"))
        self.clock.advance(0.2)
        self.failureResultOf(self.a.policies.policy_for("shop"), Unavailable)
        self.failureResultOf(self.a.owners.owner(digest_of(key)), Unavailable)
        self.assertEqual(self.policy(self.a, "ini").application, "ini")
        self.assertEqual(self.owner(self.a, "ini-key"), "ini")
        self.a.states.fails = None
        self.assertEqual(self.owner(self.a, key), "shop")

    def test_the_settings_come_first(self) -> None:
        """An application that comes to stand in the settings has nothing of its namesake in the store."""
        self.set(self.a, ttl=60)
        key = self.key(self.a)
        self.a.given["shop"] = Policy("shop", MAX_BODY, ttl=5)
        self.assertEqual(self.policy(self.a).ttl, 5)
        self.assertIsNone(self.owner(self.a, key))
        del self.a.given["shop"]
        self.assertEqual((self.policy(self.a).ttl, self.owner(self.a, key)), (60, "shop"))

    def test_a_body_is_never_above_that_of_the_server(self) -> None:
        self.set(self.a, max_body=900)
        self.assertEqual(self.policy(self.a).max_body, 900)
        self.a.max_body = 500
        self.assertEqual(self.policy(self.a).max_body, 500)

    def test_a_key_that_two_have_lets_in_to_neither(self) -> None:
        """Two front ends gave it at the same moment."""
        for name in ("shop", "mill"):
            self.set(self.a, name)
        digest, found = digest_of("shared"), []

        def other(key: str) -> None:
            self.a.states.before_replace = lambda key: None
            found.append(self.successResultOf(self.b.registry.add_key("mill", digest)))

        self.a.states.before_replace = other
        self.successResultOf(self.a.registry.add_key("shop", digest))
        self.assertEqual(len(found), 1)
        self.assertIsNone(self.owner(self.a, "shared"))

    def test_what_a_newer_version_wrote_is_not_misread(self) -> None:
        shard = shard_of("shop")
        self.set(self.a)
        key = f"{INDEX}/{shard}"
        state = self.successResultOf(self.store.states.read(key))
        assert state is not None
        for wrong in (b'{"format":2}', b"{", b"[]", b'{"format":1,"applications":{"shop":{"members":7}}}'):
            fresh = f"x{wrong!r}"
            state = self.successResultOf(self.store.states.read(key))
            assert state is not None
            self.successResultOf(self.store.states.replace(key, state.version, wrong, fresh))
            self.clock.advance(1.0)
            failure = self.failureResultOf(self.b.policies.policy_for("shop"), Unavailable)
            self.assertIn(key, failure.value.text)

    def test_members_of_a_newer_version_are_kept_and_passed_over(self) -> None:
        shard, members = shard_of("shop"), {"ttl": 60, "shoe_size": 43}
        newer = Application("shop", members, (), 1, 1, 1)
        self.successResultOf(self.store.states.replace(f"{INDEX}/{shard}", None, encode_shard({"shop": newer}), "n"))
        self.set(self.a, ttl=61)
        self.assertEqual(self.policy(self.a).ttl, 61)
        found = self.a.stored.known.applications["shop"]
        self.assertEqual(found.members, {"ttl": 61, "shoe_size": 43})

    def test_last_use_is_told_to_the_minute(self) -> None:
        self.set(self.a)
        key = self.key(self.a)
        self.assertEqual([k.used for k in self.successResultOf(self.a.registry.find("shop")).keys], [None])
        self.clock.advance(61)
        self.owner(self.a, key)
        (shown,) = self.successResultOf(self.a.registry.find("shop")).keys
        self.assertEqual(shown.used, int(NOW + 61) // 60 * 60)
        self.assertNotIn(digest_of(key).hex(), repr(self.a.stored.known.applications))
