"""Applications are created, changed and deleted, by several front ends at the same time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from queuey.core.applications import stored as kept
from queuey.core.applications.registry import SETTINGS, STORE
from queuey.core.applications.stored import INDEX, Change
from queuey.core.contention import PATIENCE
from queuey.errors import (
    AlreadyThere,
    Conflict,
    Forbidden,
    InvalidRequest,
    NoSuchApplication,
    NotPromised,
    PreconditionFailed,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import Capabilities
from queuey.model.applications.application import MAX_KEYS, digest_of, shard_of
from queuey.model.queues.queue import Guarantee, QueueSettings
from tests.core.applications.test_applications import NOW, ApplicationsCase


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

    def test_an_account(self) -> None:
        self.set(self.a, sqs=True, sqs_account="000000000000")
        self.assertEqual(self.policy(self.a).sqs_account, "0" * 12)
        for wrong in ("", "1" * 11, 10**11, ["1" * 12]):
            failure = self.failureResultOf(
                self.a.registry.set("shop", {"sqs_account": wrong}, None, True), InvalidRequest
            )
            self.assertEqual(list(failure.value.problems), ["sqs_account"], wrong)
        self.set(self.a, sqs_account=None)
        self.assertIsNone(self.policy(self.a).sqs_account)

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
    """Two front ends that change things at the same time, and outcomes that are unknown."""

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
        """The index names a version that never comes."""
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
