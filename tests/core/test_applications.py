"""Applications of the store: kept in shards, at hand for a while, and changed by one of several at a time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.applications import stored as kept
from queuey.core.applications.owners import KeyOwners
from queuey.core.applications.registry import SETTINGS, STORE, Given, Registry
from queuey.core.applications.stored import INDEX, Change, StoredApplications
from queuey.core.contention import PATIENCE, Retries
from queuey.core.policies import GivenPolicies, Policies, StoredPolicies
from queuey.errors import (
    AlreadyThere,
    Conflict,
    Forbidden,
    InvalidRequest,
    NoSuchApplication,
    NotPromised,
    PreconditionFailed,
    QueueyError,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import Capabilities, IStateStore, Outcome, State
from queuey.model.application import MAX_KEYS, Application, digest_of, encode_shard, shard_of
from queuey.model.policy import Policy
from queuey.model.queue import Consistency, Guarantee, QueueSettings
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


class ChangingTests(ApplicationsCase):
    """What operators may do."""

    def test_one_life(self) -> None:
        change = self.set(self.a, ttl=60, max_queues=5)
        self.assertIsNone(change.before)
        self.assertEqual(change.after.revision, 1)
        shown = self.successResultOf(self.a.registry.find("shop"))
        self.assertEqual(
            (shown.source, shown.policy.ttl, shown.policy.max_queues, shown.made), (STORE, 60, 5, int(NOW))
        )
        self.assertEqual(self.successResultOf(self.b.registry.names()), ("ini", "shop"))
        change = self.set(self.a, ttl=None)
        self.assertEqual(
            (change.before.members, change.after.members), ({"ttl": 60, "max_queues": 5}, {"max_queues": 5})
        )
        same = self.set(self.a, max_queues=5)
        self.assertEqual(same.after.revision, 2)
        self.successResultOf(self.a.registry.remove("shop", None, False))
        self.unknown(self.a)
        self.failureResultOf(self.a.registry.find("shop"), NoSuchApplication)
        self.failureResultOf(self.a.registry.remove("shop", None, False), NoSuchApplication)

    def test_what_stands_in_the_settings_is_read_only(self) -> None:
        registry = self.a.registry
        self.assertEqual(self.successResultOf(registry.find("ini")).source, SETTINGS)
        self.owner(self.a, "ini-key")
        self.assertEqual([key.made for key in self.successResultOf(registry.find("ini")).keys], [None])
        for change in (
            registry.set("ini", {"ttl": 1}, None, True),
            registry.remove("ini", None, False),
            registry.add_key("ini", None),
            registry.revoke_key("ini", "0" * 12),
        ):
            self.failureResultOf(change, Forbidden)

    def test_wrong_values_are_named_all_at_once(self) -> None:
        wrong: dict[str, Any] = {
            "ttl": 0,
            "idempotency_ttl": True,
            "guarantee": "twice",
            "consistency": 7,
            "create_queues": "never",
            "cors_origins": ["https://a.example/"],
            "max_queues": "5",
            "max_bytes": 1.5,
            "max_body": -1,
            "colour": "red",
        }
        failure = self.failureResultOf(self.a.registry.set("shop", wrong, None, True), InvalidRequest)
        self.assertEqual(set(failure.value.problems), set(wrong))
        for name, text in failure.value.problems.items():
            self.assertIn("not known" if name == "colour" else "allowed: ", text)
        self.unknown(self.a)

    def test_origins(self) -> None:
        for wrong in ("*", ["*", "https://a.example"], ["https://a.example"] * 2, [7], ["https://a.example"] * 21):
            self.failureResultOf(self.a.registry.set("shop", {"cors_origins": wrong}, None, True), InvalidRequest)
        self.set(self.a, cors_origins=["*"])
        self.assertEqual(self.policy(self.a).cors_origins, ("*",))

    def test_a_body_above_that_of_the_server_is_refused(self) -> None:
        failure = self.failureResultOf(self.a.registry.set("shop", {"max_body": 1001}, None, True), InvalidRequest)
        self.assertIn("max_body", failure.value.problems)

    def test_who_is_asked_about_users_stands_in_the_settings(self) -> None:
        self.set(self.a, identities=["browserid"], signed_urls=True)
        policy = self.policy(self.a)
        self.assertEqual((policy.identities, policy.signed_urls), (("browserid",), True))
        for wrong in (["accounts"], ["browserid", "accounts"], "browserid", [7], ["browserid"] * 2):
            failure = self.failureResultOf(
                self.a.registry.set("shop", {"identities": wrong}, None, True), InvalidRequest
            )
            self.assertEqual(list(failure.value.problems), ["identities"], wrong)

    def test_rates(self) -> None:
        self.set(self.a, request_rate=0.5, request_burst=3)
        policy = self.policy(self.a)
        self.assertEqual((policy.request_rate, policy.request_burst), (0.5, 3))
        self.failureResultOf(self.a.registry.set("shop", {"request_rate": None}, None, True), InvalidRequest)
        self.failureResultOf(self.a.registry.set("shop", {"message_burst": 3}, None, True), InvalidRequest)
        self.set(self.a, request_rate=None, request_burst=None)
        for wrong in (0, -1, True, "1", 1e9):
            change = self.a.registry.set("shop", {"request_rate": wrong}, None, True)
            self.failureResultOf(change, InvalidRequest)

    def test_bad_names(self) -> None:
        for name in ("", ".", "..", "a/b", "ü", "x" * 51, "a b"):
            self.failureResultOf(self.a.registry.set(name, {}, None, True), InvalidRequest)

    def test_what_the_store_cannot_keep_is_refused(self) -> None:
        weak = {"guarantee": "exactly-once", "consistency": "weak"}
        self.failureResultOf(self.a.registry.set("shop", weak, None, True), NotPromised)
        self.set(self.a, guarantee="exactly-once")
        self.failureResultOf(self.a.registry.set("shop", {"consistency": "weak"}, None, True), NotPromised)
        self.assertEqual(self.policy(self.a).guarantee, Guarantee.EXACTLY_ONCE)
        self.store.capabilities = Capabilities("nothing", False, "This store has no keys.")
        self.failureResultOf(self.a.registry.set("mill", {"guarantee": "exactly-once"}, None, True), NotPromised)
        self.store.capabilities = Capabilities("nothing", False, no_groups="There are none.")
        for guarantee in ("exactly-once", "at-most-once"):
            self.failureResultOf(self.a.registry.set("mill", {"guarantee": guarantee}, None, True), NotPromised)
        self.store.capabilities = Capabilities("nothing", False, apart=True)
        weak = {"guarantee": "at-most-once"}
        self.failureResultOf(self.a.registry.set("mill", weak, None, True), NotPromised)
        self.set(self.a, "mill", guarantee="at-most-once", consistency="very_strong")
        cluster = self.a.make_registry(counts_bytes=False)
        self.failureResultOf(cluster.set("mill", {"max_bytes": 5}, None, True), NotPromised)

    def test_revisions_guard(self) -> None:
        registry = self.a.registry
        self.failureResultOf(registry.set("shop", {}, 1, True), PreconditionFailed)
        self.successResultOf(registry.set("shop", {}, 0, True))
        self.failureResultOf(registry.set("shop", {"ttl": 1}, 0, True), PreconditionFailed)
        self.successResultOf(registry.set("shop", {"ttl": 1}, 1, True))
        self.failureResultOf(registry.remove("shop", 1, False), PreconditionFailed)
        self.successResultOf(registry.remove("shop", 2, False))
        self.failureResultOf(registry.set("shop", {"ttl": 1}, None, False), NoSuchApplication)

    def test_queues_are_not_orphaned_unasked(self) -> None:
        self.set(self.a)
        self.successResultOf(self.store.create("shop", "q", QueueSettings(), None))
        self.failureResultOf(self.a.registry.remove("shop", None, False), PreconditionFailed)
        self.policy(self.a)
        self.successResultOf(self.a.registry.remove("shop", None, True))
        self.unknown(self.a)

    def test_keys_are_bounded_and_each_application_has_its_own(self) -> None:
        self.set(self.a)
        self.set(self.a, "mill")
        given = digest_of("given")
        _, key, text = self.successResultOf(self.a.registry.add_key("shop", given))
        self.assertEqual((key.digest, text), (given, None))
        self.assertEqual(self.owner(self.a, "given"), "shop")
        for name in ("shop", "mill"):
            self.failureResultOf(self.a.registry.add_key(name, given), AlreadyThere)
        self.failureResultOf(self.a.registry.add_key("shop", digest_of("ini-key")), AlreadyThere)
        for _ in range(MAX_KEYS - 1):
            self.key(self.a)
        failure = self.failureResultOf(self.a.registry.add_key("shop", None), StorageFull)
        self.assertEqual(failure.value.limit, "keys")
        self.failureResultOf(self.a.registry.revoke_key("shop", "0" * 12), InvalidRequest)
        self.failureResultOf(self.a.registry.add_key("nobody", None), NoSuchApplication)

    def test_what_is_kept_together_has_an_end_too(self) -> None:
        """A state has a limit; what does not fit changes nothing, and what was there goes on."""
        origins = [f"https://{'x' * 250}{number}.example" for number in range(20)]
        names = (name for name in (f"n{number}" for number in count()) if shard_of(name) == shard_of("n0"))
        made: list[str] = []
        while len(made) < 20:
            name = next(names)
            change = self.a.registry.set(name, {"cors_origins": origins}, None, True)
            if isinstance(change.result, Change):
                made.append(name)
                continue
            self.assertEqual(self.failureResultOf(change, StorageFull).value.limit, "applications")
            break
        self.assertIn(len(made), range(8, 20))
        self.unknown(self.a, name)
        self.set(self.a, made[0], cors_origins=None)
        self.set(self.a, name, cors_origins=origins)

    def test_there_is_an_end_to_applications(self) -> None:
        self.patch(kept, "MAX_APPLICATIONS", 3)
        for name in ("a", "b", "c"):
            self.set(self.a, name)
        self.failureResultOf(self.a.registry.set("d", {}, None, True), StorageFull)
        self.set(self.a, "c", ttl=1)


class TogetherTests(ApplicationsCase):
    """Two front ends that change things at the same time, and outcomes that nobody knows."""

    def interrupted(self, work: Callable[[], Any], when: Callable[[str], bool] = lambda key: True) -> None:
        """Do something in between, once."""

        def now(key: str) -> None:
            if when(key):
                self.a.states.before_replace = lambda key: None
                work()

        self.a.states.before_replace = now

    def test_both_changes_stand(self) -> None:
        self.set(self.a)
        for when in (lambda key: True, lambda key: key != INDEX):
            self.interrupted(lambda: self.set(self.b, max_queues=7), when)
            self.set(self.a, ttl=60)
            for front in (self.a, self.b):
                self.clock.advance(1.0)
                policy = self.policy(front)
                self.assertEqual((policy.ttl, policy.max_queues), (60, 7))
            self.set(self.a, ttl=None, max_queues=None)

    def test_changes_of_one_process_take_turns(self) -> None:
        self.set(self.a)
        self.a.states.held = []
        adding = [self.a.registry.add_key("shop", digest_of(str(n))) for n in range(3)]
        while self.a.states.held:
            self.a.states.release()
            self.a.states.held = []
            self.a.states.release()
        for one in adding:
            self.successResultOf(one)
        self.assertEqual(len(self.successResultOf(self.a.registry.find("shop")).keys), 3)

    def test_a_change_that_never_ends_gives_up(self) -> None:
        self.set(self.a)
        numbers = count(1)

        def other(key: str) -> None:
            if key != INDEX:
                self.set(self.b, ttl=next(numbers))

        self.a.states.before_replace = other
        changing = self.a.registry.set("shop", {"max_queues": 1}, None, True)
        self.clock.pump([0.25] * int(4 * PATIENCE - 4))
        self.assertNoResult(changing)
        self.clock.pump([0.25] * 8)
        error = self.failureResultOf(changing, Conflict).value
        self.assertEqual(error.applied, "no")

    def test_a_crowd_of_front_ends(self) -> None:
        """Changes of many applications at once are announced together: the index is stored a few times, and all of
        them succeed, although another front end changes it in between each time."""
        numbers = count(1)

        stored: list[str] = []

        def other(key: str) -> None:
            stored.append(key)
            if key == INDEX and (number := next(numbers)) <= 8:
                self.set(self.b, f"other{number}")

        self.a.states.before_replace = other
        self.a.states.held = []
        changing = [self.a.registry.set(f"shop{number}", {"ttl": 60}, None, True) for number in range(60)]
        self.a.states.release()
        self.clock.pump([0.25] * 40)
        for one in changing:
            self.successResultOf(one)
        self.assertLess(stored.count(INDEX), 30)
        self.assertEqual(len(self.successResultOf(self.b.stored.current(reread=True)).applications), 68)

    def test_a_front_end_that_dies_in_between_leaves_nothing_behind(self) -> None:
        """It has told the index of a version that never comes."""
        self.set(self.a, ttl=60)
        self.a.states.lost = lambda key: key != INDEX
        failure = self.failureResultOf(self.a.registry.set("shop", {"ttl": 61}, None, True), Unavailable)
        self.assertEqual(failure.value.applied, "unknown")
        self.a.states.lost = lambda key: False
        for front in (self.a, self.b):
            self.clock.advance(1.0)
            self.assertEqual(self.policy(front).ttl, 60)
        self.set(self.b, ttl=62)
        self.clock.advance(1.0)
        self.assertEqual(self.policy(self.a).ttl, 62)

    def test_an_unknown_outcome_is_read_back(self) -> None:
        self.a.states.unknown = lambda key: True
        self.set(self.a, ttl=60)
        self.assertEqual(self.policy(self.a).ttl, 60)
        self.clock.advance(1.0)
        self.assertEqual(self.policy(self.b).ttl, 60)

    def test_a_read_that_began_before_a_change_does_not_undo_it(self) -> None:
        self.set(self.a, ttl=60)
        self.clock.advance(1.0)
        self.a.states.held = []
        waiting = self.a.policies.policy_for("shop")
        held, self.a.states.held = self.a.states.held, None
        self.set(self.b, ttl=1)
        changing = self.a.registry.set("shop", {"ttl": 61}, None, True)
        for answer, found in held:
            found.chainDeferred(answer)
        self.successResultOf(changing)
        self.assertEqual(self.successResultOf(waiting).ttl, 61)
        self.assertEqual(self.policy(self.a).ttl, 61)

    def test_a_change_goes_on_without_its_client(self) -> None:
        self.a.states.held = []
        changing = self.a.registry.set("shop", {"ttl": 9}, None, True)
        changing.cancel()
        self.failureResultOf(changing)
        while self.a.states.held:
            self.a.states.release()
        self.clock.advance(1.0)
        self.assertEqual(self.policy(self.b).ttl, 9)
