"""Messages that are put back under the ids that they had."""

from __future__ import annotations

import json
from typing import Any

from queuey.model.fields import REMAINING_TTL
from queuey.model.messages.message import Address, Message
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds, make
from tests.contracts.reading import TERMS
from tests.http.api_support import NOW, OWNER, ApiTestCase
from tests.http.responses import Response

BATCH = {"Content-Type": "application/vnd.queuey.messages+json", **OWNER}
JSON = {"Content-Type": "application/json", **OWNER}
PATH = "/v2/app/queues/q/messages"


def id_at(seconds: float) -> MessageId:
    return make(Ticks(from_seconds(NOW) + int(seconds * SECOND)), 3, 4)


class RestoreTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_queue("q", partitions="2")

    def put(self, *messages: Any) -> Response:
        return self.ask("PUT", PATH, BATCH, json.dumps({"messages": messages}).encode())

    def old(self, seconds: float, partition: int = 1, **members: Any) -> dict[str, Any]:
        """A message of a time that has passed, or is to come."""
        return {"id": f"{id_at(seconds).hex()}-{partition}", "body": "x", "ttl": 60, **members}

    def restored(self, *messages: Any) -> dict[str, Any]:
        answer = self.put(*messages)
        self.assertEqual(answer.status, 200, answer)
        found: dict[str, Any] = answer.json
        return found

    def stored(self, *places: tuple[float, int]) -> list[Message]:
        (queue,) = self.successResultOf(self.store.describe("app", ["q"]))
        assert queue is not None
        addresses = [Address(partition, id_at(seconds)) for seconds, partition in places]
        return list(self.successResultOf(self.store.lookup(queue, addresses, TERMS.ack)).messages)

    def test_what_a_message_has(self) -> None:
        """Its id, its body, its type if it had one, its headers, and what is left of its time."""
        second = {"body_base64": "/wA=", "content_type": "image/png", "headers": {"a": "ü"}, "ttl": REMAINING_TTL.high}
        second["id"] = self.old(-20, 2)["id"]
        answer = self.restored(self.old(-30), second, self.old(-5, content_type='o; a="ü"'))
        self.assertEqual(answer, {"stored": 3, "there": 0})
        with_a_tab = "text/plain;\tx=y"  # the first API stores it, since a header field can have it
        self.assertEqual(self.restored(self.old(-4, content_type=with_a_tab)), {"stored": 1, "there": 0})
        self.assertEqual(self.stored((-4, 1))[0].content.content_type, with_a_tab)
        one, two, three = self.stored((-30, 1), (-20, 2), (-5, 1))
        self.assertEqual((one.content.body, one.content.content_type, one.content.headers), (b"x", None, None))
        content = two.content
        self.assertEqual(
            (content.body, content.content_type, content.headers), (b"\xff\x00", "image/png", '{"a":"ü"}'.encode())
        )
        self.assertEqual(three.content.content_type, 'o; a="ü"')
        lives = [(message.expires - from_seconds(NOW)) // SECOND for message in (one, two, three)]
        self.assertEqual(lives, [60, REMAINING_TTL.high, 60])

    def test_what_is_there(self) -> None:
        """It is left as it is, and what is named twice is stored once; so the request may be sent again."""
        messages = [self.old(-30, body="a"), self.old(-20, body="b"), self.old(-20, body="c")]
        self.assertEqual(self.restored(messages[0]), {"stored": 1, "there": 0})
        messages[0]["body"] = "other"
        for stored in (1, 0):
            self.assertEqual(self.restored(*messages), {"stored": stored, "there": 3 - stored})
        self.assertEqual([each.content.body for each in self.stored((-30, 1), (-20, 1))], [b"a", b"b"])

    def test_what_queuey_has_added(self) -> None:
        """The key of a message and what dead letters tell come back with it, in addition to headers of full length."""
        letter = {"queue": "q", "id": f"{'1f' * 16}-1", "group": "g", "gid": "ab" * 16, "deliveries": 1, "reason": "no"}
        headers = {"a": "x" * 8184, "queuey-key": "k" * 1024, "queuey-dead-letter": letter}
        self.restored(self.old(-30, body="1", content_type="application/json", headers=headers))
        (message,) = self.stored((-30, 1))
        assert message.content.headers is not None
        self.assertEqual(json.loads(message.content.headers), headers)
        path = f"{PATH}/{self.old(-30)['id']}"
        field = self.ask("GET", path, OWNER).header("queuey-headers") or ""
        self.assertEqual(self.ask("PUT", path, {**JSON, "Queuey-Headers": field}, b"2").status, 204)
        self.assertEqual(self.ask("GET", path, OWNER).header("queuey-headers"), field)

    def test_of_the_future(self) -> None:
        """It shows when it is due."""
        self.restored(self.old(50, ttl=100))
        self.assertEqual(self.bodies("/v1/app/q"), [])
        self.clock.advance(51)
        self.assertEqual(self.bodies("/v1/app/q"), ["x"])

    def mistakes_in(self, *messages: Any) -> list[dict[str, str]]:
        answer = self.put(*messages)
        self.assertEqual((answer.status, answer.json["code"]), (400, "invalid-body"))
        self.assertEqual(self.stored((-30, 1)), [])
        errors: list[dict[str, str]] = answer.json["errors"]
        return errors

    def test_mistakes(self) -> None:
        """All of a message are named, and nothing is stored."""
        good = self.old(-30)
        wrong: list[tuple[Any, list[str]]] = [
            (7, ["/messages/1"]),
            ({}, ["/messages/1/id", "/messages/1", "/messages/1/ttl"]),
            (self.old(-20, 3), ["/messages/1/id"]),
            ({**self.old(-20), "id": "x", "ttl": 0}, ["/messages/1/id", "/messages/1/ttl"]),
            (self.old(-20, ttl=REMAINING_TTL.high + 1), ["/messages/1/ttl"]),
            (self.old(-20, content_type="a\nb"), ["/messages/1/content_type"]),
            (self.old(-20, headers={"queuey-x": 1}), ["/messages/1/headers"]),
            (self.old(-20, headers={"queuey-key": "k" * 1025}), ["/messages/1/headers"]),
            (self.old(-20, headers={"Queuey-Key": "k"}), ["/messages/1/headers"]),
            (self.old(-20, headers={"queuey-key": "k", "a": "x" * 8192}), ["/messages/1/headers"]),
            (self.old(-20, delay=1), ["/messages/1/delay"]),
        ]
        for item, pointers in wrong:
            self.assertEqual([error["pointer"] for error in self.mistakes_in(good, item)], pointers, item)
        body = json.dumps({"messages": [good, *[{}] * 999]}).encode()
        connection = self.client.start("PUT", PATH, BATCH, body)
        self.clock.advance(0)  # they are read in several turns of the reactor
        problem = connection.response("PUT").json
        self.assertLessEqual(len(problem["errors"]), 100)
        self.assertIn("(and 2996 more)", problem["detail"])

    def test_other_bodies(self) -> None:
        for kind, body, status in (
            ("application/json", b'{"messages":[]}', 415),
            (BATCH["Content-Type"], b"[]", 400),
            (BATCH["Content-Type"], b'{"messages":[]}', 400),
        ):
            self.assertEqual(self.ask("PUT", PATH, {"Content-Type": kind, **OWNER}, body).status, status)
        self.assertEqual(self.ask("PUT", f"{PATH}?ttl=1", BATCH, b'{"messages":[]}').status, 400)
        self.assertEqual(self.ask("PUT", PATH.replace("/q/", "/none/"), BATCH, b"{}").status, 404)
