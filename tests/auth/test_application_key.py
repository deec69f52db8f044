"""Application keys."""

from __future__ import annotations

from hashlib import sha256

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from queuey.auth.application_key import MAX_KEPT, ApplicationKeys, _proven
from queuey.errors import BadCredentials, Unavailable
from queuey.interfaces import Credential, IAuthenticator
from tests.contracts.authenticators import Contracts


def digest(key: str) -> bytes:
    return sha256(key.encode()).digest()


@attrs.define
class Owners:
    """Keys that are in force; an error says that this cannot be decided now."""

    in_force: dict[bytes, str] | Unavailable
    used: list[bytes] = attrs.field(factory=list)

    def owner(self, digest: bytes) -> Deferred[str | None]:
        return fail(self.in_force) if isinstance(self.in_force, Unavailable) else succeed(self.in_force.get(digest))

    def known(self, digest: bytes) -> str | None:
        return None if isinstance(self.in_force, Unavailable) else self.in_force.get(digest)

    def use(self, digest: bytes) -> None:
        self.used.append(digest)


class ApplicationKeyTests(Contracts.Authenticator):
    """The contract, and what is particular to keys."""

    good = Credential("application", "a-good-key")
    principals = frozenset({"app:a"})
    false = Credential("application", "a-false-key")

    def make(self) -> IAuthenticator:
        self.owners = Owners({digest("a-good-key"): "a", digest("another-key"): "a", digest("ключ"): "b"})
        return ApplicationKeys(self.owners)

    def test_several_keys(self) -> None:
        """Each proves its application."""
        for key, application in (("another-key", "app:a"), ("ключ", "app:b")):
            proven = self.successResultOf(self.make().authenticate(Credential("application", key)))
            self.assertEqual(proven, frozenset({application}))

    def test_many_applications(self) -> None:
        """What is kept of applications does not grow with their number."""
        names = [f"application-{number}" for number in range(MAX_KEPT + 100)]
        keys = ApplicationKeys(Owners({digest(name): name for name in names}))
        for name in names:
            proven = self.successResultOf(keys.authenticate(Credential("application", name)))
            self.assertEqual(proven, frozenset({f"app:{name}"}))
        self.assertEqual(_proven.cache_info().currsize, MAX_KEPT)

    def test_compared_whole(self) -> None:
        """A part of a key, or more than it, is false; so are bytes that are no text."""
        for key in ("a-good-ke", "a-good-key ", "A-GOOD-KEY", "", "\udcff", digest("a-good-key").hex()):
            self.failureResultOf(self.make().authenticate(Credential("application", key)), BadCredentials)

    def test_taken_out_of_force(self) -> None:
        """A key that is no longer in force proves nothing at once."""
        keys = self.make()
        self.owners.in_force = {}
        self.failureResultOf(keys.authenticate(self.good), BadCredentials)

    def test_nobody_knows(self) -> None:
        """Where it cannot be found out, nothing is proven and nothing is false."""
        keys = ApplicationKeys(Owners(Unavailable("The store is away.")))
        self.failureResultOf(keys.authenticate(self.good), Unavailable)
        self.assertIsNone(keys.lasting(attrs.evolve(self.good, application="a")))

    def test_lasting(self) -> None:
        """What a key proves to its own application lasts; each time that it is gone by, the key counts as shown."""
        found = self.make().lasting(Credential("application", "a-good-key", "a"))
        assert found is not None
        self.assertEqual((found.principals, self.owners.used), (self.principals, []))
        found.again()
        self.assertEqual(self.owners.used, [digest("a-good-key")])

    def test_one_object_for_all_who_show_it(self) -> None:
        """So ten thousand connections that show the same key do not each keep what it proves."""
        keys = ApplicationKeys(Owners({digest(f"key {number}"): "a" for number in range(MAX_KEPT + 1)}))
        shown = [Credential("application", f"key {number}", "a") for number in range(MAX_KEPT + 1)]
        first = keys.lasting(shown[0])
        self.assertIs(keys.lasting(shown[0]), first)
        for credential in shown:
            keys.lasting(credential)
        self.assertLessEqual(keys._proof.cache_info().currsize, MAX_KEPT)  # type: ignore[attr-defined]
        again = keys.lasting(shown[0])
        assert first is not None
        assert again is not None
        self.assertEqual(again.principals, first.principals)

    def test_a_key_of_another_application_now(self) -> None:
        """It proves that one."""
        keys = self.make()
        keys.lasting(Credential("application", "a-good-key", "a"))
        self.owners.in_force = {digest("a-good-key"): "b"}
        self.assertIsNone(keys.lasting(Credential("application", "a-good-key", "a")))
        found = keys.lasting(Credential("application", "a-good-key", "b"))
        assert found is not None
        self.assertEqual(found.principals, frozenset({"app:b"}))

    def test_not_lasting(self) -> None:
        """Nothing lasts of another application's key, of a false one, or of another scheme."""
        for credential in (
            Credential("application", "ключ", "a"),
            Credential("application", "a-false-key", "a"),
            Credential("bearer", "a-good-key", "a"),
        ):
            self.assertIsNone(self.make().lasting(credential))
