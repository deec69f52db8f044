"""Admission with a limited number of places: who gets one when all are taken, and who loses one for it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.admission import Place, Places


class PlacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.places = Places(6)
        self.left: list[str] = []

    def take(self, application: str, address: str) -> Place | None:
        return self.places.take(application, address, lambda: self.left.append(f"{application} {address}"))

    def took(self, application: str, address: str, count: int = 1) -> None:
        for _ in range(count):
            self.assertIsNotNone(self.take(application, address))

    def refused(self, application: str, address: str) -> None:
        before = list(self.left)
        self.assertIsNone(self.take(application, address))
        self.assertEqual(self.left, before)

    def test_one_has_all_that_nobody_else_wants(self) -> None:
        self.took("a", "1.1.1.1", 6)
        self.refused("a", "1.1.1.1")
        self.assertEqual(self.left, [])

    def test_other_applications(self) -> None:
        """They share evenly, whatever addresses are behind the one that has the most."""
        for number in range(6):
            self.took("a", f"1.1.1.{number}")
        self.took("b", "2.2.2.2", 3)
        self.assertEqual(self.left, ["a 1.1.1.0", "a 1.1.1.1", "a 1.1.1.2"])
        self.refused("b", "2.2.2.2")
        self.took("c", "3.3.3.3")

    def test_other_addresses(self) -> None:
        """So do they, of one application or of many."""
        for application in "abcdef":
            self.took(application, "1.1.1.1")
        self.took("a", "2.2.2.2")
        self.took("b", "2.2.2.2")
        self.assertEqual(self.left, ["f 1.1.1.1", "e 1.1.1.1"])
        self.took("c", "2.2.2.2")
        self.assertEqual(self.left[2:], ["d 1.1.1.1"])
        self.refused("c", "2.2.2.2")

    def test_whoever_has_the_most_of_an_application(self) -> None:
        self.took("a", "1.1.1.1", 4)
        self.took("a", "2.2.2.2", 2)
        self.took("b", "3.3.3.3")
        self.assertEqual(self.left, ["a 1.1.1.1"])

    def test_addresses_of_one_client(self) -> None:
        """A client with one address of IPv6 can use as many of the same network as it likes."""
        for number in range(6):
            self.took("a", f"2001:db8::{number}")
        self.refused("a", "2001:db8::7")
        self.took("a", "2001:db8:0:1::1")
        self.took("a", "unix")

    def test_given_back(self) -> None:
        places = [self.take("a", "1.1.1.1") for _ in range(6)]
        self.took("b", "1.1.1.1")
        for place in places:
            assert place is not None
            self.places.free(place)
        self.took("a", "1.1.1.1", 5)
        self.refused("a", "1.1.1.1")
        self.assertEqual(len(self.left), 1)
