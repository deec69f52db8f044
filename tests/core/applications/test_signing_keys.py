"""Which keys of an application may have signed a URL: those that are in force, of the settings or of the store."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from queuey.core.applications.owners import _digests
from queuey.errors import Unavailable
from queuey.interfaces import State
from queuey.model.applications.application import digest_of, key_id
from tests.core.applications.test_applications import ApplicationsCase, FrontEnd


class SigningKeyTests(ApplicationsCase):
    def digests(self, front: FrontEnd, name: str) -> set[bytes]:
        found: tuple[bytes, ...] = self.successResultOf(front.owners.digests(name))
        return set(found)

    def test_of_the_settings(self) -> None:
        self.assertEqual(self.digests(self.a, "ini"), {digest_of("ini-key")})
        self.a.digests = {digest_of("new"): "ini", digest_of("other"): "blog"}
        self.assertEqual(self.digests(self.a, "ini"), {digest_of("new")})

    def test_of_the_store(self) -> None:
        """All of them, on each front end, until they are revoked; and of an application that is not there, none."""
        self.assertEqual(self.digests(self.a, "shop"), set())
        self.set(self.a)
        keys = {digest_of(self.key(self.a)) for _ in range(2)}
        revoked = min(keys)
        self.assertEqual(self.digests(self.a, "shop"), keys)
        self.clock.advance(1.0)
        self.assertEqual(self.digests(self.b, "shop"), keys)
        self.successResultOf(self.a.registry.revoke_key("shop", key_id(revoked)))
        self.assertEqual(self.digests(self.a, "shop"), keys - {revoked})
        self.clock.advance(1.0)
        self.assertEqual(self.digests(self.b, "shop"), keys - {revoked})

    def test_what_the_settings_name_is_theirs(self) -> None:
        """Keys that the store has for an application of that name sign nothing."""
        self.set(self.a)
        self.key(self.a)
        self.a.given["shop"] = self.a.given["ini"]
        self.assertEqual(self.digests(self.a, "shop"), set())

    def test_a_key_of_two_applications_signs_for_neither(self) -> None:
        for name in ("shop", "blog"):
            self.set(self.a, name)
        self.key(self.a, "shop")
        snapshot = self.a.stored.known
        self.assertEqual(len(_digests(snapshot, "shop")), 1)
        self.assertEqual(_digests(attrs.evolve(snapshot, owners={}), "shop"), ())

    def test_a_store_that_does_not_answer(self) -> None:
        """Is no store without keys."""
        self.a.states.held = []
        asked = self.a.owners.digests("shop")
        self.assertNoResult(asked)
        waiting: Deferred[State | None] = self.a.states.held[0][0]
        waiting.errback(Unavailable("away"))
        self.failureResultOf(asked, Unavailable)
