"""Requests that go on for long, and what let them in: they end with it, within two seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.config import ApplicationSettings
from queuey.errors import BadCredentials, QueueyError, Unavailable
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.admission.ongoing import AT_ONCE, EVERY, Entry, Ongoing
from queuey.interfaces import IPolicies
from queuey.model.applications.access import Operation
from queuey.model.applications.application import digest_of
from queuey.model.applications.policy import Policy
from queuey.model.applications.rates import Rate
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import Ticks
from tests.http.api_support import KEY, LINES, OWNER, SPARE_KEY
from tests.http.group_support import GroupTestCase
from tests.http.wire_support import Connection, encode_chunks

SPARE = {"Authorization": f"Application {SPARE_KEY}"}
JSON = {"Content-Type": "application/json"}
CHUNKED = {"Content-Type": LINES, "Transfer-Encoding": "chunked"}
CUT: Final = 2.0
"""Seconds within which whoever shows a revoked key is told."""


class OngoingTestCase(GroupTestCase):
    """Requests of two keys of one application."""

    def setUp(self) -> None:
        super().setUp()
        self.made()
        self.timers = len(self.clock.getDelayedCalls())

    def reading(self, headers: dict[str, str] = OWNER) -> Connection:
        return self.client.start("GET", f"/v2/app{self.path('?wait=20')}", headers)

    def claiming(self, headers: dict[str, str] = OWNER, group: str = "g", key: str = "") -> Connection:
        fields = {**headers, **JSON, **({"Idempotency-Key": f'"{key}"'} if key else {})}
        return self.client.start("POST", f"/v2/app{self.group('/claims', group)}", fields, b'{"wait": 20}')

    def streaming(self, count: int = 1, headers: dict[str, str] = OWNER) -> Connection:
        """Begin a stream with so many messages."""
        connection = self.client.start("POST", f"/v2/app{self.path()}", {**headers, **CHUNKED})
        data = b"".join(b'{"body": "%d"}\n' % number for number in range(count))
        return connection.send(b"%x\r\n%s\r\n" % (len(data), data))

    def put_in_force(self, change: Callable[[ApplicationSettings], ApplicationSettings]) -> None:
        settings = self.assembly.in_force.settings
        self.assembly.use(attrs.evolve(settings, applications=tuple(map(change, settings.applications))))

    def revoke(self) -> None:
        """Take the first key out of force."""
        self.put_in_force(lambda one: attrs.evolve(one, digests=one.digests - {digest_of(KEY)}))

    def limit(self, messages: Rate) -> None:
        rate, burst = messages.per_second, messages.burst
        self.put_in_force(
            lambda one: attrs.evolve(one, policy=attrs.evolve(one.policy, message_rate=rate, message_burst=burst))
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds / 0.1))

    def told(self, connection: Connection) -> list[Any]:
        """The codes of the problems of a stream's answer, with their lines, and what its last line says."""
        response = connection.response("POST", only_json=False)
        lines = [json.loads(line) for line in response.body.splitlines()]
        return [*((line["code"], line.get("line")) for line in lines if "code" in line), lines[-1]]

    def nothing_left(self) -> None:
        self.assertLessEqual(len(self.clock.getDelayedCalls()), self.timers)
        self.assertEqual(self.flushLoggedErrors(), [])


class WaitTests(OngoingTestCase):
    """Reads and claims that wait."""

    def test_told_at_once(self) -> None:
        """Requests with the key that was revoked get an error; another key's requests go on waiting."""
        cut = [("GET", self.reading()), ("POST", self.claiming()), ("POST", self.claiming(key="k"))]
        others = [("GET", self.reading(SPARE)), ("POST", self.claiming(SPARE))]
        self.pass_time(3)
        self.assertEqual([each.received for _, each in cut + others], [b""] * 5)
        self.revoke()
        self.pass_time(CUT)
        for method, connection in cut:
            self.problem("unauthorized", connection.response(method))
        self.pass_time(3)
        self.assertEqual([each.received for _, each in others], [b""] * 2)
        self.expect(201, self.send("POST", self.path(), b"x", SPARE, None))
        self.pass_time(0.5)
        for method, connection in others:
            (message,) = self.expect(200, connection.response(method))["messages"]
            self.assertEqual(message["body"], "x")
        self.nothing_left()

    def test_settlements_of_a_claim_that_waits(self) -> None:
        """They were stored before the wait, and the problem does not say that nothing was."""
        self.expect(201, self.send("POST", self.path(), b"x", OWNER, None))
        body = json.dumps({"wait": 20, "settle": {"ack": self.receipts()}}).encode()
        connection = self.client.start("POST", f"/v2/app{self.group('/claims')}", {**OWNER, **JSON}, body)
        self.revoke()
        self.pass_time(CUT)
        self.assertEqual(self.problem("unauthorized", connection.response("POST"))["applied"], "partly")
        self.nothing_left()

    def test_connections_go_on(self) -> None:
        """It is the request that ends, and not the connection that it came on."""
        connection = self.reading()
        self.revoke()
        self.pass_time(CUT)
        self.problem("unauthorized", connection.response())
        self.problem("unauthorized", self.client.request("GET", f"/v2/app{self.path()}", OWNER))
        self.assertFalse(connection.transport.half_closed)

    def test_an_application_that_is_gone(self) -> None:
        reading, claiming = self.reading(), self.claiming()
        self.put_in_force(lambda one: attrs.evolve(one, name=f"{one.name}-2"))
        self.pass_time(CUT)
        self.problem("no-such-application", reading.response())
        self.problem("no-such-application", claiming.response("POST"))

    def test_changes_that_matter_to_nobody(self) -> None:
        """Settings that are read again, or other limits, end nothing."""
        waiting = [self.reading(), self.claiming()]
        self.put_in_force(lambda one: one)
        self.limit(Rate(1, 1))
        self.pass_time(10)
        self.assertEqual([each.received for each in waiting], [b"", b""])


@attrs.define
class FakeGate:
    """Lets in, or fails, as the test says.

    :ivar first: is called when it is asked for the first time.
    """

    answer: QueueyError | None = None
    asked: int = 0
    first: Callable[[], object] = lambda: None

    async def look_again(self, *_: Any) -> None:
        if not self.asked:
            self.first()
        self.asked += 1
        if self.answer is not None:
            raise self.answer


@implementer(IPolicies)
@attrs.define
class FakePolicies:
    answer: Policy | QueueyError

    def policy_for(self, application: str) -> Deferred[Policy]:
        return fail(self.answer) if isinstance(self.answer, Exception) else succeed(self.answer)

    def cached(self, application: str) -> Policy | None:
        return None if isinstance(self.answer, QueueyError) else self.answer


class LookTests(SynchronousTestCase):
    """When it is looked, and what comes of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.policies, self.gate = FakePolicies(Policy("app", 100)), FakeGate()
        self.ongoing = Ongoing(self.policies, self.clock, succeed)
        self.ended: list[QueueyError] = []
        self.entry = self.during()

    def during(self) -> Entry:
        queue = Queue("app", "q", QueueSettings(), 1, "v", Ticks(0))
        gate: Any = self.gate
        request: Any = None
        admitted = AdmittedToQueue(Policy("app", 100), frozenset(), queue, None, gate)
        return self.ongoing.during(request, admitted, Operation.READ_MESSAGES, self.ended.append)

    def test_only_after_a_change(self) -> None:
        with self.entry:
            self.clock.pump([EVERY] * 3)
            self.assertEqual(self.gate.asked, 1)
            self.policies.answer = Policy("app", 100)
            self.clock.pump([EVERY] * 3)
            self.assertEqual(self.gate.asked, 2)
        self.assertEqual((self.ended, self.clock.getDelayedCalls()), ([], []))

    def test_not_all_in_one_turn(self) -> None:
        """However many wait, others are served meanwhile."""
        with ExitStack() as many:
            for _ in range(2 * AT_ONCE + 1):
                many.enter_context(self.during())
            self.policies.answer = Policy("app", 100)
            served: list[int] = []
            self.gate.first = lambda: self.clock.callLater(0, lambda: served.append(self.gate.asked))
            self.clock.advance(EVERY)
            self.assertEqual((served, self.gate.asked), ([AT_ONCE], 2 * AT_ONCE + 1))

    def test_while_nobody_can_say(self) -> None:
        """No request is ended because something is broken; it is checked again until the answer is known."""
        with self.entry:
            self.policies.answer = Unavailable("away")
            self.clock.pump([EVERY] * 3)
            self.assertEqual(self.gate.asked, 0)
            self.policies.answer, self.gate.answer = Policy("app", 100), Unavailable("away")
            self.clock.pump([EVERY] * 3)
            self.assertEqual((self.gate.asked, self.ended), (3, []))
            self.gate.answer = BadCredentials("false")
            self.clock.advance(EVERY)
            self.assertEqual(self.ended, [self.gate.answer])

    def test_a_defect(self) -> None:
        """It is logged once each time that it is looked, and nothing goes on for ever because of it."""
        with self.entry, self.during():
            self.policies.answer = ZeroDivisionError()  # type: ignore[assignment]
            self.clock.advance(EVERY)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.policies.answer = Policy("app", 100)
            self.gate.answer = ZeroDivisionError()  # type: ignore[assignment]
            self.clock.advance(EVERY)
            self.assertEqual((len(self.flushLoggedErrors(ZeroDivisionError)), self.ended), (1, []))
            self.gate.answer = BadCredentials("false")
            self.clock.advance(EVERY)
            self.assertEqual(self.ended, [self.gate.answer] * 2)


class ClaimTests(OngoingTestCase):
    """What a claim would have been given is others' at once."""

    def test_what_comes_before_it_is_told(self) -> None:
        connection = self.claiming()
        self.revoke()
        self.expect(201, self.send("POST", self.path(), b"x", SPARE, None))
        self.pass_time(0.3)
        self.problem("unauthorized", connection.response("POST"))
        (message,) = self.expect(200, self.send("POST", self.group("/claims"), {}, SPARE))["messages"]
        self.assertEqual((message["body"], message["deliveries"]), ("x", 1))

    def test_given_at_most_once(self) -> None:
        """No message is lost with a request that may not have it any more."""
        self.made("most", guarantee="at-most-once")
        connection = self.claiming(group="most")
        self.revoke()
        self.expect(201, self.send("POST", self.path(), b"x", SPARE, None))
        self.pass_time(0.3)
        self.problem("unauthorized", connection.response("POST"))
        (message,) = self.expect(200, self.send("POST", self.group("/claims", "most"), {}, SPARE))["messages"]
        self.assertEqual(message["body"], "x")


class StreamTests(OngoingTestCase):
    """Streams, also those whose lines wait for the rates."""

    def messages(self) -> int:
        response = self.client.request("GET", f"/v2/app{self.path()}", SPARE)
        return len(self.expect(200, response)["messages"])

    def test_lines_that_wait(self) -> None:
        """Nothing of them is stored once the key is revoked, and they get the reason."""
        self.limit(Rate(0.25, 2))
        connection = self.streaming(5)
        self.pass_time(1)
        self.revoke()
        self.pass_time(CUT)
        problems = [("unauthorized", number) for number in (3, 4, 5)]
        self.assertEqual(self.told(connection), [*problems, {"done": False, "stored": 2, "failed": 3}])
        self.pass_time(60)
        self.assertEqual(self.messages(), 2)
        self.nothing_left()

    def test_lines_whose_turn_comes_first(self) -> None:
        """The rates let them pass before anybody has looked: who sent them is looked at once more."""
        self.limit(Rate(0.25, 2))
        connection = self.streaming(3)
        self.pass_time(3.8)
        self.revoke()
        self.pass_time(0.3)
        self.assertEqual(self.told(connection), [("unauthorized", 3), {"done": False, "stored": 2, "failed": 1}])
        self.assertEqual(self.messages(), 2)

    def test_one_that_says_nothing(self) -> None:
        """The end of its answer says why it is that."""
        connection, other = self.streaming(), self.streaming(headers=SPARE)
        self.pass_time(1)
        self.revoke()
        self.pass_time(CUT)
        self.assertIn(b'"applied":"partly"', connection.received)
        self.assertEqual(self.told(connection), [("unauthorized", None), {"done": False, "stored": 1, "failed": 0}])
        other.send(encode_chunks([b'{"body": "more"}\n']))
        self.assertEqual(self.told(other), [{"done": True, "stored": 2, "failed": 0}])
        self.nothing_left()

    def test_who_hangs_up(self) -> None:
        self.streaming().hang_up()
        self.reading().hang_up()
        self.claiming().hang_up()
        self.revoke()
        self.pass_time(CUT)
        self.nothing_left()
