"""Claims over v2 that wait for messages."""

from __future__ import annotations

from tests.http.api_support import OTHER, OWNER, fields_of
from tests.http.group_support import GroupTestCase
from tests.http.wire_support import Connection, encode_request


class WaitTests(GroupTestCase):
    """Claims that wait."""

    def setUp(self) -> None:
        super().setUp()
        self.made()

    def test_message(self) -> None:
        """A message ends the wait of one claim, the first that waits."""
        first, second = self.start(), self.start()
        self.pass_time(5)
        self.assertEqual((first.received, second.received), (b"", b""))
        self.appended("a")
        self.pass_time(0.5)
        self.assertEqual((self.answer(first), second.received), (["a"], b""))
        self.appended("b")
        self.pass_time(0.5)
        self.assertEqual(self.answer(second), ["b"])

    def test_something_at_once(self) -> None:
        """If there are messages, no claim waits."""
        self.appended("a")
        self.assertEqual(self.given(wait=20), ["a"])

    def test_time_over(self) -> None:
        """Then there is nothing, and nothing of it is left."""
        timers = len(self.clock.getDelayedCalls())
        connection = self.start(body=b'{"wait": 7.5}')
        self.pass_time(7.3)
        self.assertEqual(connection.received, b"")
        self.pass_time(0.4)
        self.assertEqual(self.answer(connection), [])
        self.pass_time(30)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), timers)

    def test_lease_ends(self) -> None:
        """Who waits is given what somebody else did not settle, and what comes back after a delay."""
        self.appended("a")
        receipt = self.receipt(lease=5)
        connection = self.start()
        self.pass_time(4)
        self.assertEqual(connection.received, b"")
        self.pass_time(2)
        self.assertEqual(self.answer(connection), ["a"])
        self.pass_time(31)
        receipt = self.receipt()
        connection = self.start()
        self.settled(retry=[{"receipt": receipt, "delay": 3}])
        self.pass_time(2)
        self.assertEqual(connection.received, b"")
        self.pass_time(2)
        self.assertEqual(self.answer(connection), ["a"])

    def test_retry(self) -> None:
        """So it is with what is given back at once."""
        self.appended("a")
        receipt, connection = self.receipt(), self.start()
        self.settled(retry=[receipt])
        self.pass_time(0.5)
        self.assertEqual(self.answer(connection), ["a"])

    def test_seek(self) -> None:
        """And with what a seek goes back to."""
        self.appended("a")
        self.settled(ack=[self.receipt()])
        connection = self.start()
        self.sought("oldest")
        self.pass_time(0.5)
        self.assertEqual(self.answer(connection), ["a"])

    def test_hung_up(self) -> None:
        """Who has gone takes nothing."""
        timers = len(self.clock.getDelayedCalls())
        for _ in range(3):
            self.start().hang_up()
        self.appended("a")
        self.pass_time(0.5)
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"]), ("a", 1))
        self.settled(ack=[message["receipt"]])
        self.pass_time(30)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), timers)

    def test_queue_deleted(self) -> None:
        """A claim that waits on it gets the error, and so does one that waits on a group that was deleted and made
        again."""
        for again in (False, True):
            connection = self.start()
            self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
            if again:
                self.make("q")
                self.appended("a")
            self.pass_time(21)
            self.problem("no-such-queue", connection.response("POST"))
            if not again:
                self.make("q")
                self.made()

    def test_queue_deleted_with_a_lease(self) -> None:
        """It is the queue that is missing, also where the end of a lease has the group looked for."""
        self.appended("a")
        self.receipt(lease=3)
        connection = self.start()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.pass_time(4)
        self.problem("no-such-queue", connection.response("POST"))

    def test_group_deleted(self) -> None:
        """Who waits for it gets nothing of it."""
        connection = self.start()
        self.assertEqual(self.send("DELETE", self.group()).status, 204)
        self.appended("a")
        self.pass_time(21)
        self.problem("no-such-group", connection.response("POST"))
        self.problem("no-such-group", self.send("GET", self.group()))

    def test_right_withdrawn(self) -> None:
        """A client that may no longer claim when the wait ends gets no messages."""
        self.make("shared", principals=["app:other"])
        self.made("g", "shared")
        path = f"/v2/app{self.group('/claims', 'g', 'shared')}"
        fields = {**OTHER, "Content-Type": "application/json"}
        connection = Connection(self.assembly.site).send(encode_request("POST", path, fields, b'{"wait": 20}'))
        self.expect(200, self.send("PATCH", "/queues/shared", {"principals": ["app:app"]}, OWNER,
                                   "application/merge-patch+json"))  # fmt: skip
        self.appended("a", queue="shared")
        self.pass_time(0.5)
        self.problem("forbidden", connection.response("POST"))

    def test_many(self) -> None:
        """Of hundreds that wait each message goes to one, and all are answered in the end."""
        waiting = [self.start(body=b'{"wait": 10, "limit": 1}') for _ in range(300)]
        self.batch([{"body": f"{number}"} for number in range(200)])
        self.pass_time(11)
        given = [self.answer(connection) for connection in waiting]
        bodies = [body for some in given for body in some]
        self.assertEqual(sorted(bodies, key=int), [f"{number}" for number in range(200)])

    def test_key(self) -> None:
        """A wait under a key gives again what it gave."""
        connection = self.start(body=b'{"wait": 20}', Idempotency_Key='"k"')
        self.appended("a")
        self.pass_time(0.5)
        answer = connection.response("POST").json["messages"]
        path = f"/v2/app{self.group('/claims')}"
        fields = fields_of({"Idempotency_Key": '"k"', "Content_Type": "application/json"})
        again = self.ask("POST", path, fields, b'{"wait": 20}')
        self.assertEqual(self.expect(200, again)["messages"], answer)
