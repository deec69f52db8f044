"""Consumer groups through two front ends of one deployment: any of them serves any request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.http.group_support import GroupTestCase
from tests.http.v1.test_stores import OnCassandra
from tests.http.wire_support import Client


class FrontEndsTests(OnCassandra, GroupTestCase):
    """Two daemons on the same tables, which know of each other by those alone."""

    def setUp(self) -> None:
        super().setUp()
        self.assemblies = (self.assembly, self.make_assembly(self.settings))
        self.made()

    @contextmanager
    def other(self) -> Iterator[None]:
        """Ask the other front end."""
        self.use(1)
        try:
            yield
        finally:
            self.use(0)

    def use(self, number: int) -> None:
        """Ask one of them from now on."""
        self.assembly = self.assemblies[number]
        self.client = Client(self.assembly.site)

    def test_settled_elsewhere(self) -> None:
        """What one gave the other settles, extends and gives again; and what is old is so everywhere."""
        for body in "abc":
            self.appended(body)
        a, b, c = self.receipts(lease=5)
        with self.other():
            self.assertEqual(self.given(), [])
            self.assertEqual(self.settled(ack=[a], extend=[{"receipt": b, "lease": 60}]), ["acked", "extended"])
            self.clock.advance(6)
            (again,) = self.receipts()
        self.assertEqual(self.stale("no", retry=[a], ack=[c]), ["already-acked", "stale"])
        self.assertEqual(self.settled(ack=[b, again]), ["acked", "acked"])
        with self.other():
            self.assertEqual(self.lag()["behind"], {"count": 0, "exact": True})

    def test_each_to_one(self) -> None:
        """However they take turns, each message is given once, and none is passed over."""
        for number in range(20):
            self.appended(f"{number}")
        found: list[str] = []
        for _ in range(10):
            found += self.given(limit=2)
            with self.other():
                found += self.given(limit=3)
        self.assertEqual(found, [f"{number}" for number in range(20)])

    def test_key(self) -> None:
        """A claim that is sent again to the other one gives the same."""
        self.appended("a")
        self.appended("b")
        first = self.claimed(key="k", limit=1)
        with self.other():
            self.assertEqual(self.claimed(key="k", limit=1), first)
            self.assertEqual(self.given(limit=1), ["b"])

    def test_wait(self) -> None:
        """Who waits at one gets what is posted to the other, and what is given back there, within about a second."""
        with self.other():
            connection = self.start()
        self.appended("a")
        self.pass_time(3)
        self.assertEqual(self.answer(connection), ["a"])
        self.pass_time(31)
        receipt = self.receipt(lease=600)
        with self.other():
            connection = self.start()
        self.assertEqual(self.settled(retry=[receipt]), ["retrying"])
        self.pass_time(3)
        self.assertEqual(self.answer(connection), ["a"])

    def test_settings(self) -> None:
        """A change at one is in force at the other within a second."""
        with self.other():
            self.get()
        self.expect(200, self.change({"lease": 7}))
        self.appended("a")
        self.clock.advance(1.1)
        with self.other():
            self.assertEqual(self.claimed()[0]["lease"], 7)

    def test_conditions(self) -> None:
        """Of two that change the same at once, one gets an error."""
        tag = f'"{self.get()["version"]}"'
        self.expect(200, self.change({"lease": 7}, If_Match=tag))
        with self.other():
            self.problem("precondition-failed", self.change({"lease": 8}, If_Match=tag))
            self.problem("precondition-failed", self.put(None, If_None_Match="*"))
        self.assertEqual(self.get()["lease"], 7)

    def test_deleted(self) -> None:
        """A group that is deleted at one is so at the other, and a new one of its name knows no receipt of before."""
        self.appended("a")
        with self.other():
            receipt = self.receipt()
        self.assertEqual(self.send("DELETE", self.group()).status, 204)
        with self.other():
            self.problem("no-such-group", self.ask_settle({"ack": [receipt]}))
            self.made()
            self.assertEqual(self.given(), ["a"])
        self.assertEqual(self.stale("no", ack=[receipt]), ["invalid"])

    def test_seek(self) -> None:
        """After a seek at one, receipts of before are invalid at the other, and messages are given again."""
        self.appended("a")
        with self.other():
            receipt = self.receipt()
        self.sought("oldest")
        with self.other():
            self.assertEqual(self.stale("no", ack=[receipt]), ["invalid"])
            self.assertEqual(self.given(), ["a"])

    def test_dead_letters(self) -> None:
        """What is given up at one is taken back at the other, once."""
        self.make("dead")
        self.expect(200, self.change({"dead_letter": "dead"}))
        self.appended("a")
        receipt = self.receipt()
        self.clock.advance(1.1)
        with self.other():
            self.assertEqual(self.settled(reject=[receipt]), ["dead-lettered"])
        self.assertEqual(self.redriven(all=True), 1)
        with self.other():
            self.assertEqual(self.redriven(all=True), 0)
            self.assertEqual(self.given(), ["a"])
        self.assertEqual(self.given(), [])
