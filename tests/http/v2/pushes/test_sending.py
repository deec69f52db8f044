"""What pushes send, and what becomes of messages: each outcome, retries, order, rates, the circuit, replies."""

from __future__ import annotations

import json
from typing import Any

from queuey.interfaces import BodyEnd, Unsent
from queuey.model.pushes.circuit import FAILURES
from tests.http.push_support import SETTINGS, URL, PushTestCase, said


class SendingTests(PushTestCase):
    def lagging(self) -> tuple[int, int, int, int]:
        lag = self.lag(group="p")
        return (lag["behind"]["count"], lag["in_flight"], lag["waiting"], lag["set_aside"])

    def test_sent(self) -> None:
        """A message is sent as soon as it is stored, with its id, its type and its headers, and is acked by a 2xx."""
        self.pushed(headers={"Authorization": "Bearer x"})
        id = self.appended('{"a": 1}', Content_Type="application/json", Queuey_Headers="%7B%22Order%22%3A%227%22%7D")
        (request,) = self.sender.sent
        headers = dict(request.headers)
        self.assertEqual(request.target.url, URL)
        self.assertEqual((headers["webhook-id"], headers["content-type"]), (id, "application/json"))
        self.assertEqual((headers["message-Order"], headers["Authorization"]), ("7", "Bearer x"))
        self.assertEqual((request.body, request.timeout, request.named), (b'{"a": 1}', 15, True))
        self.assertEqual(self.lagging(), (0, 0, 0, 0))
        (attempt,) = self.attempts()
        told = {"id": id, "deliveries": 1, "status": 204, "milliseconds": 0, "error": None}
        self.assertEqual(attempt, {"time": attempt["time"], **told})

    def test_what_was_there(self) -> None:
        """Messages from before are sent too, unless the push starts at the newest."""
        for text in "abc":
            self.appended(text)
        self.pushed()
        self.assertEqual(sorted(self.sender.bodies), ["a", "b", "c"])
        self.pushed("newest", start="newest")
        self.assertEqual(len(self.sender.sent), 3)

    def test_retries(self) -> None:
        """A failure is tried again after 5 seconds, 10, 20 and so on, with the same id."""
        self.pushed()
        self.sender.answer = 500
        self.appended("a")
        self.pass_time(37)
        first, *later = self.sender.times
        for passed, least, most in zip((now - first for now in later), (5, 13, 29), (5.3, 15.3, 35.3), strict=True):
            self.assertTrue(least <= passed <= most, (passed, later))
        self.assertEqual(len(set(self.sender.ids)), 1)
        self.sender.answer = 200
        self.pass_time(41)
        self.assertEqual((len(self.sender.sent), self.lagging()), (5, (0, 0, 0, 0)))
        found = [(one["status"], one["deliveries"], one["error"]) for one in self.attempts()]
        failed = [(500, number, "status-500") for number in (4, 3, 2, 1)]
        self.assertEqual(found, [(200, 5, None), *failed])

    def test_no_answer(self) -> None:
        self.pushed()
        for unsent in Unsent:
            self.sender.answer = unsent
            self.appended("a")
        self.assertEqual({one["error"] for one in self.attempts()}, {unsent.value for unsent in Unsent})
        self.assertEqual(self.shown()["failures"], len(Unsent))

    def test_retry_after(self) -> None:
        self.pushed()
        self.sender.answer = said(503, retry_after="120")
        self.appended("a")
        self.pass_time(119)
        self.assertEqual(len(self.sender.sent), 1)
        self.pass_time(2)
        self.assertEqual(len(self.sender.sent), 2)

    def test_rejected(self) -> None:
        """A status of reject_on makes a dead letter at once, whose reason has the status and the answer."""
        self.make("dead")
        self.pushed(reject_on=[422], dead_letter="dead")
        self.sender.answer = said(422, b"no such order")
        self.appended("a")
        self.pass_time(1)
        (letter,) = self.page(queue="dead")["messages"]
        told = letter["headers"]["queuey-dead-letter"]
        self.assertEqual((letter["body"], told["reason"]), ("a", "status-422: no such order"))
        self.assertEqual(self.shown()["failures"], 0)

    def test_long_reason(self) -> None:
        """The reason has 1 KiB, cut between two characters."""
        self.make("dead")
        self.pushed(reject_on=[400], dead_letter="dead")
        self.sender.answer = said(400, "ü".encode() * 1000)
        self.appended("a")
        self.pass_time(1)
        (letter,) = self.page(queue="dead")["messages"]
        self.assertEqual(letter["headers"]["queuey-dead-letter"]["reason"], "status-400: " + "ü" * 506)

    def test_given_up(self) -> None:
        """The last delivery makes a dead letter."""
        self.make("dead")
        self.pushed(max_deliveries=2, dead_letter="dead")
        self.sender.answer = said(500, b"broken")
        self.appended("a")
        self.pass_time(7)
        (letter,) = self.page(queue="dead")["messages"]
        told = letter["headers"]["queuey-dead-letter"]
        self.assertEqual((told["deliveries"], told["reason"]), (2, "status-500: broken"))
        self.assertEqual(len(self.sender.sent), 2)

    def test_gone(self) -> None:
        """410 pauses the push; the message is sent once it goes on."""
        self.pushed()
        self.sender.answer = 410
        self.appended("a")
        self.appended("b")
        self.pass_time(30)
        self.assertEqual(len(self.sender.sent), 1)
        told = self.shown()
        self.assertEqual((told["state"], told["last_error"]), ("paused", "gone"))
        self.sender.answer = 200
        self.act("resume")
        self.pass_time(6)
        self.assertEqual(sorted(self.sender.bodies), ["a", "a", "b"])
        self.assertEqual(self.lagging(), (0, 0, 0, 0))

    def test_parallel(self) -> None:
        """No more requests at the same time than parallel says; the others wait in the log."""
        self.pushed(parallel=2)
        self.sender.answer = None
        for number in range(5):
            self.appended(f"{number}")
        self.assertEqual((len(self.sender.sent), self.lag(group="p")["in_flight"]), (2, 2))
        for _ in range(5):
            self.sender.say(200)
            self.pass_time(0.1)
        self.assertEqual(sorted(self.sender.bodies), ["0", "1", "2", "3", "4"])
        self.assertEqual(self.lagging(), (0, 0, 0, 0))

    def test_rate(self) -> None:
        """No more a second than rate says, after the first burst of a second."""
        self.pushed(rate=2)
        for number in range(9):
            self.appended(f"{number}")
        for sent in (2, 4, 6, 8, 9):
            self.assertEqual(len(self.sender.sent), sent)
            self.pass_time(1.05)

    def test_order_by_key(self) -> None:
        """With order = key a message waits for the one before it with its key, and no other."""
        self.pushed(order="key", parallel=8)
        self.sender.answer = None
        for key, text in (("k", "k1"), ("k", "k2"), ("l", "l1"), ("k", "k3"), ("l", "l2")):
            self.appended(text, f"?key={key}")
        self.assertEqual(self.sender.bodies, ["k1", "l1"])
        self.sender.say(500)  # k1
        self.pass_time(1)
        self.assertEqual(self.sender.bodies, ["k1", "l1"])
        self.sender.say(200)  # l1
        self.pass_time(1)
        self.assertEqual(self.sender.bodies, ["k1", "l1", "l2"])
        self.sender.answer = 200
        self.sender.say(200)
        self.pass_time(6)
        self.assertEqual(self.sender.bodies, ["k1", "l1", "l2", "k1", "k2", "k3"])

    def test_order_of_what_was_there(self) -> None:
        """The same holds for messages that one claim could take together."""
        self.sender.answer = None
        for key, text in (("k", "k1"), ("k", "k2"), ("l", "l1")):
            self.appended(text, f"?key={key}")
        self.pushed(order="key", parallel=8)
        self.assertEqual(self.sender.bodies, ["k1", "l1"])
        self.sender.say(200)
        self.pass_time(0.2)
        self.assertEqual(self.sender.bodies, ["k1", "l1", "k2"])

    def test_circuit(self) -> None:
        """After ten failures in a row one attempt at a time, with growing pauses; it closes with the first success."""
        self.pushed(parallel=8)
        self.sender.answer = Unsent.CONNECT
        for number in range(50):
            self.appended(f"{number}")
        self.pass_time(0.1)
        # Those that were claimed before the circuit opened are sent.
        first = len(self.sender.sent)
        self.assertTrue(FAILURES <= first < FAILURES + 8, first)
        self.pass_time(60)
        self.assertLessEqual(len(self.sender.sent) - first, 8)
        told = self.shown()
        self.assertEqual((told["state"], told["last_error"]), ("failing", "no-connection"))
        self.assertTrue(told["since"])
        self.sender.answer = 200
        self.pass_time(1300)
        self.assertEqual(len(set(self.sender.bodies)), 50)
        self.assertEqual(self.lagging(), (0, 0, 0, 0))
        told = self.shown()
        self.assertEqual((told["state"], told["since"], told["failures"]), ("active", None, 0))

    def test_circuit_with_few_deliveries(self) -> None:
        """A message that is given up is a failure of the endpoint: while it is down, the others wait in the log."""
        self.make("dead")
        for deliveries in (1, 2):
            push, before = f"few{deliveries}", len(self.sender.sent)
            self.pushed(push, max_deliveries=deliveries, dead_letter="dead", start="newest")
            self.sender.answer = 500
            for number in range(60):
                self.appended(f"{number}")
            self.pass_time(60)
            self.assertLess(len(self.sender.sent) - before, FAILURES + 16)
            self.assertEqual(self.shown(push)["state"], "failing")
            self.act("pause", push)

    def test_short_failure(self) -> None:
        """An endpoint that is away for a moment is tried again after seconds, though many requests failed at once."""
        self.pushed(parallel=64)
        self.sender.answer = None
        for number in range(200):
            self.appended(f"{number}")
        self.assertEqual(len(self.sender.open), 64)
        self.pass_time(1)
        while self.sender.open:
            self.sender.say(Unsent.CONNECT)
        self.assertEqual(self.shown_soon()["state"], "failing")
        self.sender.answer = 200
        self.pass_time(15)
        self.assertEqual((len(set(self.sender.bodies)), self.lagging()), (200, (0, 0, 0, 0)))

    def test_changed_url(self) -> None:
        """A new URL is used at once, and closes the circuit."""
        self.pushed()
        self.sender.answer = 500
        for number in range(FAILURES):
            self.appended(f"{number}")
        self.sender.answer = 200
        self.expect(200, self.change_push({"url": "https://new.hook.example.com/"}))
        self.appended("new")
        self.pass_time(0.2)
        self.assertEqual(self.sender.sent[-1].target.host, "new.hook.example.com")

    def failing(self) -> None:
        """Make a push whose circuit is open, with a message that waits for it."""
        self.pushed()
        self.sender.answer = 500
        for number in range(FAILURES):
            self.appended(f"{number}")
        self.appended("waiting")
        self.assertEqual((len(self.sender.sent), self.shown_soon()["state"]), (FAILURES, "failing"))
        self.sender.answer = 200

    def shown_soon(self) -> dict[str, Any]:
        """Return what is shown of the push a second from now, when its report is stored."""
        self.pass_time(1.1)
        return self.shown()

    def test_resumed(self) -> None:
        """If a push goes on after a pause, its endpoint is tried at once."""
        self.failing()
        self.act("pause")
        paused = self.shown_soon()
        self.assertEqual((paused["state"], paused["failures"], len(self.sender.sent)), ("paused", 0, FAILURES))
        self.act("resume")
        self.pass_time(0.1)
        self.assertIn("waiting", self.sender.bodies)
        self.assertEqual(self.shown_soon()["state"], "active")

    def test_state_of_another_process(self) -> None:
        """A process that takes a push over shows its own state of the push, not the last one of the process before."""
        self.pushed()
        self.successResultOf(self.assembly.pushes.stop())
        for host, state in (("else.example.com", "blocked"), ("hook.example.com", "active")):
            self.use(SETTINGS.replace("hook.example.com", host))
            engine = self.other_engine()
            self.pass_time(2.5)
            self.assertEqual(self.shown()["state"], state)
            stopping = engine.stop()
            self.clock.pump([0.1] * 20)
            self.successResultOf(stopping)

    def test_replies(self) -> None:
        """The answer is a message of another queue, once, that names the message it answers."""
        self.make("answers")
        self.pushed(replies="answers")
        self.sender.answer = said(200, b"the answer")
        id = self.appended("a")
        self.pass_time(1)
        (reply,) = self.page(queue="answers")["messages"]
        self.assertEqual((reply["body"], reply["content_type"]), ("the answer", "text/plain"))
        self.assertEqual(reply["headers"], {"in-reply-to": id})
        self.assertEqual(self.lagging(), (0, 0, 0, 0))

    def test_reply_that_is_cut(self) -> None:
        """The message is tried again, and the answer that comes whole is posted."""
        self.make("answers")
        self.pushed(replies="answers")
        self.sender.answer = said(200, b"the ans", end=BodyEnd.CUT)
        self.appended("a")
        self.assertEqual(self.attempts()[0]["error"], "answer-not-whole")
        self.assertEqual((self.page(queue="answers")["messages"], self.lagging()[3]), ([], 0))
        self.sender.answer = said(200, b"the answer")
        self.pass_time(6)
        self.assertEqual((self.texts(queue="answers"), self.lagging()), (["the answer"], (0, 0, 0, 0)))

    def test_reply_that_is_cut_each_time(self) -> None:
        """After the last delivery the message is a dead letter whose reason is in its headers."""
        self.make("answers")
        self.make("dead")
        self.pushed(replies="answers", max_deliveries=2, dead_letter="dead")
        self.sender.answer = said(200, b"the ans", end=BodyEnd.CUT)
        self.appended("a")
        self.pass_time(6)
        self.assertEqual((len(self.sender.sent), self.texts(queue="answers")), (2, []))
        (dead,) = self.page(queue="dead")["messages"]
        self.assertIn("answer-not-whole", str(dead["headers"]))

    def test_reply_that_is_too_long(self) -> None:
        """So would be the next answer: the message is set aside."""
        self.make("answers")
        self.pushed(replies="answers")
        self.sender.answer = said(200, b"the ans", end=BodyEnd.TOO_LONG)
        self.appended("a")
        self.assertEqual(self.attempts()[0]["error"], "answer-too-long")
        self.assertEqual((self.page(queue="answers")["messages"], self.lagging()[3]), ([], 1))

    def test_reply_that_cannot_be_stored(self) -> None:
        """Then the message is tried again."""
        self.make("answers")
        self.pushed(replies="answers")
        self.assertEqual(self.send("DELETE", "/queues/answers").status, 204)
        self.sender.answer = said(200, b"the answer")
        self.appended("a")
        self.assertEqual(self.attempts()[0]["error"], "reply-not-stored")
        self.make("answers")
        self.pass_time(6)
        self.assertEqual(self.texts(queue="answers"), ["the answer"])

    def test_settings_forbid(self) -> None:
        """If the operator takes the host out of push_hosts, nothing more is sent, and the push says why."""
        self.pushed()
        self.use(SETTINGS.replace("hook.example.com", "else.example.com"))
        self.appended("a")
        self.pass_time(12)
        self.assertEqual(self.sender.sent, [])
        told = self.shown()
        self.assertEqual(told["state"], "blocked")
        self.assertIn("push_hosts", told["blocked"])
        self.use(SETTINGS)
        self.pass_time(12)
        self.assertEqual((self.sender.bodies, self.shown()["state"]), (["a"], "active"))
        # The claim that waited gave the message back as one that was never delivered.
        self.assertEqual(self.attempts()[0]["deliveries"], 1)

    def test_deleted_queue(self) -> None:
        """Its pushes end with it; one of a new queue of that name begins with the new messages."""
        self.pushed()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.pass_time(3)
        self.make("q")
        self.appended("a")
        self.pass_time(3)
        self.assertEqual(self.sender.sent, [])
        self.pushed()
        self.assertEqual(self.sender.bodies, ["a"])

    def test_stopping(self) -> None:
        """The end waits for requests that are under way, and what was taken is acked."""
        self.pushed()
        self.sender.answer = None
        self.appended("a")
        stopping = self.assembly.pushes.stop()
        self.appended("b")
        self.assertNoResult(stopping)
        self.sender.say(200)
        self.clock.pump([0.1] * 5)
        self.successResultOf(stopping)
        self.assertEqual((self.sender.bodies, self.lagging()), (["a"], (1, 0, 0, 0)))

    def test_structured(self) -> None:
        self.pushed(format="cloudevents-structured")
        id = self.appended("hello")
        event: dict[str, Any] = json.loads(self.sender.sent[0].body)
        self.assertEqual((event["id"], event["data"], event["source"]), (id, "hello", "/v2/app/queues/q"))

    def test_application_rate(self) -> None:
        """Requests of pushes count against the rate of the application."""
        self.use(SETTINGS.replace("push = true", "push = true\nrequest_rate = 1\nrequest_burst = 100"))
        self.pushed()
        for number in range(20):
            self.appended(f"{number}")
        left = self.send("GET", "/queues/q").header("ratelimit") or ""
        self.assertLess(int(left.partition("r=")[2].partition(";")[0].partition(",")[0]), 70)
