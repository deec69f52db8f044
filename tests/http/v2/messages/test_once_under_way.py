"""An Idempotency-Key whose request is still under way, or was not remembered."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from queuey.errors import KeyInUse, StorageFull, Unavailable
from queuey.interfaces import Capabilities
from queuey.model.messages.once import Appended
from tests.http.api_support import BATCH, OWNER, set_promises
from tests.http.v2.messages.test_once import AppendOnce, OnceTestCase


class NotRememberedTests(OnceTestCase):
    """Only a 2xx is remembered."""

    def test_refused(self) -> None:
        """What was wrong may be put right under the same key."""
        self.problem("invalid-parameters", self.once("1", b"x", "?ttl=0"))
        self.problem("invalid-parameters", self.once("1", b"x", kind="nonsense"))
        self.problem("invalid-body", self.batch([{}], Idempotency_Key='"1"'))
        self.problem("unauthorized", self.once("1", Authorization="Application nope"))
        self.problem("content-encoding", self.once("1", Content_Encoding="gzip"))
        self.new(self.once("1"))
        self.assertEqual(self.texts(), ["x"])

    def test_failed(self) -> None:
        """So may what the store could not do."""
        append_once = self.store.append_once
        for error, code, applied in (
            (Unavailable("Away.", retry_after=4), "unavailable", "no"),
            (Unavailable("Away.", applied="unknown"), "unavailable", "unknown"),
            (StorageFull("Full."), "storage-full", "no"),
        ):
            self.store.append_once = lambda *_, error=error: fail(error)  # type: ignore[method-assign]
            problem = self.problem(code, self.once("1"))
            self.assertEqual((problem["applied"], problem["retryable"]), (applied, True))
        self.store.append_once = append_once  # type: ignore[method-assign]
        self.new(self.once("1"))

    def test_weak(self) -> None:
        """Where it cannot be promised, a key is refused, saying why, and nothing is stored."""
        self.make("weak", consistency="weak")
        fields = {**OWNER, "Idempotency-Key": '"1"'}
        for body, kind in ((b"x", None), ({"messages": [{"body": "x"}]}, BATCH)):
            problem = self.problem("not-promised", self.send("POST", self.path(queue="weak"), body, fields, kind))
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
            text = "A queue of weak consistency cannot guarantee that a message is stored only once."
            self.assertEqual(problem["detail"], text)
        self.assertEqual(self.texts(queue="weak"), [])
        self.expect(200, self.send("PUT", "/queues/q", {"consistency": "weak", "partitions": 3}))
        self.problem("not-promised", self.once("1"))

    def test_store(self) -> None:
        """A store that cannot says why."""
        set_promises(self.store, Capabilities("nothing", False, "Thrift has no transactions."))
        self.assertEqual(self.problem("not-promised", self.once("1"))["detail"], "Thrift has no transactions.")
        self.assertEqual(self.expect(201, self.append())["duplicate"], False)


class UnderWayTests(OnceTestCase):
    """Requests that meet."""

    def hold(self) -> list[Deferred[None]]:
        """Hold back what comes to the store from now on; it waits here."""
        append_once: AppendOnce = self.store.append_once
        held: list[Deferred[None]] = []

        def later(*given: Any) -> Deferred[Appended]:
            held.append(Deferred())
            return held[-1].addCallback(lambda _: append_once(*given))

        self.store.append_once = later  # type: ignore[method-assign,assignment]
        return held

    def start(self, key: str = "1", body: bytes = b"x") -> Any:
        fields = {**OWNER, "Idempotency-Key": f'"{key}"'}
        return self.client.start("POST", "/v2/app/queues/q/messages", fields, body)

    def test_both_wait(self) -> None:
        """Whichever comes to the store first stores it, and the other is answered the same."""
        held = self.hold()
        one, other = self.start(), self.start()
        held[1].callback(None)
        self.new(other.response())
        held[0].callback(None)
        self.again(other.response(), one.response())
        self.assertEqual(self.texts(), ["x"])

    def test_other_body(self) -> None:
        """Or it is refused, where it is another one."""
        held = self.hold()
        one, other = self.start(), self.start(body=b"y")
        for each in held:
            each.callback(None)
        self.new(one.response())
        self.reused(other.response())

    def test_hang_up(self) -> None:
        """A client that has gone finds out what became of its request by sending it again."""
        append_once = self.store.append_once
        held = self.hold()
        self.start().hang_up()
        held.pop().callback(None)
        self.store.append_once = append_once  # type: ignore[method-assign]
        answer = self.expect(201, self.once("1"))
        self.assertTrue(answer["duplicate"])
        self.assertEqual([message["id"] for message in self.page()["messages"]], [answer["messages"][0]["id"]])

    def test_in_use(self) -> None:
        """If the store cannot wait for the first, the answer to the second says when to come again."""
        self.store.append_once = lambda *_: fail(KeyInUse("It is under way.", retry_after=7))  # type: ignore[method-assign]
        response = self.once("1")
        problem = self.problem("key-in-use", response)
        self.assertEqual((problem["applied"], problem["retryable"]), ("no", True))
        self.assertEqual(response.header("retry-after"), "7")

    def test_at_the_same_moment(self) -> None:
        """Many retries at once store one message."""
        held = self.hold()
        connections = [self.start() for _ in range(20)]
        for each in held:
            each.callback(None)
        answers = [self.expect(201, connection.response()) for connection in connections]
        self.assertEqual(sum(not answer["duplicate"] for answer in answers), 1)
        self.assertEqual(len({answer["messages"][0]["id"] for answer in answers}), 1)
        self.assertEqual(self.texts(), ["x"])
