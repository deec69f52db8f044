"""Idempotency-Key over v2: a repeated request stores nothing more, and is answered as the first was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from queuey.http.v2.inputs.repeats import scoped
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from tests.http.api_support import LINES, OWNER, SETTINGS, SPARE_KEY, MessagesTestCase, fields_of
from tests.http.responses import Response
from tests.http.wire_support import Client

QUOTE_IT = 'a key is printable ASCII in double quotes, as in Idempotency-Key: "8e03978e-40d5"'
DAY = 86400


def hashed(*parts: bytes) -> bytes:
    """The hash of parts, each after its length in eight bytes."""
    return hashlib.blake2b(b"".join([len(part).to_bytes(8, "big") + part for part in parts]), digest_size=32).digest()


class OnceTestCase(MessagesTestCase):
    """Appends under keys."""

    partitions = 3

    def once(self, key: str, body: bytes = b"x", query: str = "", kind: str | None = None, **fields: str) -> Response:
        """Post a message under a key, which is quoted here."""
        return self.append(body, query, kind, Idempotency_Key=f'"{key}"', **fields)

    def new(self, response: Response) -> list[str]:
        """The ids of messages that are stored now."""
        answer = self.expect(201, response)
        self.assertEqual((answer["duplicate"], response.header("idempotency-replayed")), (False, None))
        self.assertEqual(set(answer["stored"]), {"consistency", "durable"})
        return [message["id"] for message in answer["messages"]]

    def again(self, first: Response, response: Response) -> None:
        """An answer is that of the first request, and says so."""
        self.assertEqual(self.expect(201, response), {**self.expect(201, first), "duplicate": True})
        self.assertEqual(response.header("idempotency-replayed"), "true")
        for name in ("location", "content-type", "cache-control"):
            self.assertEqual(response.header(name), first.header(name), name)

    def reused(self, response: Response) -> None:
        """A key stands for another request."""
        self.assertEqual(self.problem("key-reused", response)["applied"], "no")

    def use(self, settings: str) -> None:
        self.assembly = self.make_assembly(SETTINGS + settings)
        self.client = Client(self.assembly.site)


class RepeatTests(OnceTestCase):
    """The same request again."""

    def test_one(self) -> None:
        """Nothing is stored, and the answer is the same, but that it is a duplicate."""
        first = self.once("1", b"a", "?ttl=60&key=k", "text/plain", Queuey_Headers='{"a": 1}')
        self.new(first)
        self.append(b"between")
        for _ in range(3):
            again = self.once("1", b"a", "?ttl=60&key=k", "text/plain", Queuey_Headers='{"a": 1}')
            self.again(first, again)
            self.assertIsNotNone(again.header("location"))
        self.assertEqual(self.texts(), ["a", "between"])

    def test_batch(self) -> None:
        """One key covers all of it."""
        batch = [{"body": str(number)} for number in range(20)]
        first = self.batch(batch, Idempotency_Key='"b"')
        self.assertEqual(len(self.new(first)), 20)
        again = self.batch(batch, Idempotency_Key='"b"')
        self.again(first, again)
        self.assertIsNone(again.header("location"))
        self.reused(self.batch(batch[:-1], Idempotency_Key='"b"'))
        self.reused(self.batch([*batch, {"body": "20"}], Idempotency_Key='"b"'))
        self.assertEqual(self.texts(), [str(number) for number in range(20)])
        one = self.batch([{"body": "x"}], Idempotency_Key='"c"')
        self.again(one, self.batch([{"body": "x"}], Idempotency_Key='"c"'))
        self.assertIsNotNone(one.header("location"))

    def test_another_request(self) -> None:
        """Another body, type, query or headers are another request, and nothing of it is stored."""
        first = self.once("1", b"a", "?ttl=60", "text/plain", Queuey_Headers='{"a": 1}')
        for body, query, kind, headers in (
            (b"b", "?ttl=60", "text/plain", '{"a": 1}'),
            (b"", "?ttl=60", "text/plain", '{"a": 1}'),
            (b"a", "?ttl=61", "text/plain", '{"a": 1}'),
            (b"a", "", "text/plain", '{"a": 1}'),
            (b"a", "?ttl=60&delay=1", "text/plain", '{"a": 1}'),
            (b"a", "?ttl=60&partition=1", "text/plain", '{"a": 1}'),
            (b"a", "?ttl=60", "text/html", '{"a": 1}'),
            (b"a", "?ttl=60", None, '{"a": 1}'),
            (b"a", "?ttl=60", "text/plain", '{"a": 2}'),
            (b"a", "?ttl=60", "text/plain", "{}"),
        ):
            self.reused(self.once("1", body, query, kind, Queuey_Headers=headers))
        self.reused(self.once("1", b"a", "?ttl=60", "text/plain"))
        self.reused(self.batch([{"body": "a"}], Idempotency_Key='"1"'))
        self.again(first, self.once("1", b"a", "?ttl=60", "text/plain", Queuey_Headers='{"a": 1}'))
        self.assertEqual(self.texts(), ["a"])

    def test_order_of_the_query(self) -> None:
        """It does not matter, nor how parameters are encoded."""
        first = self.once("1", b"a", "?ttl=60&key=a%20b&delay=0")
        for query in ("?delay=0&key=a%20b&ttl=60", "?key=a+b&ttl=60&delay=0", "?%6Bey=%61%20b&delay=0&ttl=6%30"):
            self.again(first, self.once("1", b"a", query))
        self.assertEqual(self.texts(), ["a"])

    def test_parameters_in_parameters(self) -> None:
        """What looks like a parameter within the value of another one is none."""
        for name, one, other in (
            ("1", "?key=a&ttl=60", "?key=a%26ttl=60"),
            ("2", "?key=a%26ttl%3D60", "?key=a&ttl=60"),
            ("3", "?key=a%26delay=0&ttl=60", "?key=a&delay=0&ttl=60"),
        ):
            self.new(self.once(name, b"a", one))
            self.reused(self.once(name, b"a", other))

    def test_other_fields(self) -> None:
        """Proxies may add fields, and a retry has an id of its own."""
        first = self.once("1", b"a", X_Request_Id="one", Accept="text/html")
        self.again(first, self.once("1", b"a", X_Request_Id="two", User_Agent="x", Via="1.1 proxy"))

    def test_as_it_was(self) -> None:
        """The answer is that of the first request, whatever has become of its queue and its messages."""
        first = self.once("1", b"a", "?ttl=60")
        (id,) = self.new(first)
        self.expect(200, self.send("PUT", "/queues/q", {"consistency": "very-strong", "partitions": 4}))
        self.assertEqual(self.expect(201, self.append(b"b"))["stored"]["consistency"], "very-strong")
        self.again(first, self.once("1", b"a", "?ttl=60"))
        self.assertEqual(self.one(id, "DELETE").status, 204)
        self.again(first, self.once("1", b"a", "?ttl=60"))
        self.gone(self.one(id))
        self.clock.advance(70)
        self.again(first, self.once("1", b"a", "?ttl=60"))
        self.assertEqual(self.texts(), ["b"])

    def test_delayed(self) -> None:
        """A delayed message is stored once, for the time of the first request."""
        first = self.once("1", b"a", "?delay=60")
        self.clock.advance(30)
        self.again(first, self.once("1", b"a", "?delay=60"))
        self.clock.advance(31)
        self.again(first, self.once("1", b"a", "?delay=60"))
        self.assertEqual([message["id"] for message in self.page()["messages"]], self.new(first))

    def test_empty(self) -> None:
        """An empty body is a body."""
        first = self.once("1", b"")
        self.again(first, self.once("1", b""))
        self.assertEqual(self.texts(), [""])

    def test_stream(self) -> None:
        """Lines of a stream have the same keys."""
        first = self.once("1", b"a")
        fields = fields_of({"Content-Type": LINES})
        body = b'{"body": "b", "idempotency_key": "1"}\n{"body": "c", "idempotency_key": "2"}\n'
        told = self.raw("POST", self.path(), fields, body).body.splitlines()
        self.assertIn(b'"code":"key-reused"', told[0])
        self.assertIn(b'"duplicate":false', told[1])
        self.reused(self.once("2", b"c"))
        self.again(first, self.once("1", b"a"))


class ElsewhereTests(OnceTestCase):
    """Requests that come to the same however often they are sent take a key, and do not look at it."""

    def asked(self, method: str, path: str, body: Any = None, kind: str = "application/json", key: str = '"k"') -> int:
        return self.send(method, path, body, {**OWNER, "Idempotency-Key": key}, kind).status

    def test_messages(self) -> None:
        """A repeat is answered for what it finds."""
        (id,) = self.new(self.once("k"))
        for body in (b"y", b"z"):
            self.assertEqual(self.asked("PUT", f"/queues/q/messages/{id}", body, "text/plain"), 204)
        self.assertEqual(self.texts(), ["z"])
        self.assertEqual([self.asked("DELETE", f"/queues/q/messages/{id}") for _ in range(2)], [204, 404])

    def test_queues_and_groups(self) -> None:
        """Also where the key is no good one."""
        for key in ('"k"', "not quoted", ""):
            self.assertEqual(self.asked("PUT", "/queues/q", {"ttl": 60, "partitions": 3}, key=key), 200)
            self.assertEqual(self.asked("PATCH", "/queues/q", {}, "application/merge-patch+json", key), 200)
            self.assertEqual(self.asked("PUT", "/queues/q/groups/g", {}, key=key), 201)
            self.assertEqual(self.asked("POST", "/queues/q/groups/g/settlements", {}, key=key), 200)
            self.assertEqual(self.asked("POST", "/queues/q/groups/g/redrive", {"all": True}, key=key), 200)
            self.assertEqual(self.asked("DELETE", "/queues/q/groups/g", key=key), 204)

    def test_v1(self) -> None:
        """The first API passes over header fields that it does not know: a repeat stores its message again."""
        for _ in range(2):
            fields = {**OWNER, "Content-Type": "text/plain", "Idempotency-Key": '"k"'}
            self.assertEqual(self.ask("POST", "/v1/app/q", fields, b"x").status, 201)
        self.assertEqual(self.texts(), ["x", "x"])


class ScopeTests(OnceTestCase):
    """What a key belongs to, and for how long."""

    def test_queue(self) -> None:
        """Each queue has keys of its own."""
        self.make("p")
        ids = {*self.new(self.once("1"))}
        response = self.send("POST", self.path(queue="p"), b"x", {**OWNER, "Idempotency-Key": '"1"'}, None)
        self.assertTrue(ids.isdisjoint(self.new(response)))

    def test_caller(self) -> None:
        """Each caller has, by what it has proven to be, and not by the key that it did that with."""
        first = self.once("1")
        self.again(first, self.once("1", Authorization=f"application {SPARE_KEY}"))
        one, both = frozenset({"app:app"}), frozenset({"app:app", "app:b"})
        self.assertEqual(scoped(both, "k"), scoped(frozenset(sorted(both, reverse=True)), "k"))
        self.assertEqual(len({scoped(one, "k"), scoped(both, "k"), scoped(one, "app:bk"),
                              scoped(frozenset(), "k"), scoped(one, "l")}), 5)  # fmt: skip

    def test_caller_with_more_credentials(self) -> None:
        """A caller that has shown the application's key is the application, whatever else it has shown."""
        one, ann, bob = frozenset({"app:app"}), frozenset({"bid:ann@example.org"}), frozenset({"bid:bob@example.org"})
        self.assertEqual(scoped(one, "k"), scoped(one | ann, "k"))
        self.assertEqual(scoped(one, "k"), scoped(one | {"url:0f", "by-url:write"}, "k"))
        self.assertEqual(len({scoped(who, "k") for who in (one, ann, bob, ann | bob, frozenset({"url:0f"}))}), 5)

    def test_what_is_kept(self) -> None:
        """Keys that an earlier version has kept are known: what is hashed, and how, stays what it is."""
        seen: list[Once] = []
        append_once = self.store.append_once

        def noted(queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once) -> Deferred[Appended]:
            seen.append(once)
            return append_once(queue, messages, terms, once)

        self.store.append_once = noted  # type: ignore[method-assign]
        for number, own in enumerate(({}, {"Queuey-Headers": "%7B%22a%22:1%7D"}, {})):
            fields = {**OWNER, "Content-Type": "text/plain", "Idempotency-Key": f'"{number}"', **own}
            self.new(self.send("POST", self.path(), b"x", fields, None))
            about = [b"POST", hashed(b""), b"text/plain", own.get("Queuey-Headers", "").encode(), b"x"]
            self.assertEqual(seen[-1].key, hashed(b"app:app", b"", b"%d" % number))
            self.assertEqual(seen[-1].digest, hashed(*about))

    def test_keys(self) -> None:
        """Keys are compared to the letter."""
        ids = [self.new(self.once(key))[0] for key in ("a", "A", " a", "a ", "a  b", "a b", "x" * 254, "x" * 255)]
        self.assertEqual(len(set(ids)), 8)

    def test_deleted(self) -> None:
        """Deleting the queue forgets them."""
        (id,) = self.new(self.once("1"))
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.make("q", partitions=3)
        self.assertNotEqual(self.new(self.once("1")), [id])
        self.assertEqual(self.texts(), ["x"])

    def test_purged(self) -> None:
        """Purging it does not."""
        first = self.once("1")
        self.assertEqual(self.send("DELETE", self.path("?before=now")).status, 204)
        self.again(first, self.once("1"))
        self.assertEqual(self.texts(), [])

    def test_a_day(self) -> None:
        """They are remembered for a day, and not for ever."""
        first = self.once("1", b"x", "?ttl=60")
        self.clock.advance(DAY - 1)
        self.again(first, self.once("1", b"x", "?ttl=60"))
        self.reused(self.once("1", b"y", "?ttl=60"))
        self.clock.advance(120)
        second = self.once("1", b"y", "?ttl=60")
        self.new(second)
        self.again(second, self.once("1", b"y", "?ttl=60"))
        self.assertEqual(self.texts(), ["y"])

    def test_setting(self) -> None:
        """Or for as long as the application's settings say."""
        self.use("[application:app]\nidempotency_ttl = 60\n")
        self.assertEqual(self.expect(200, self.send("GET", ""))["idempotency_ttl"], 60)
        first = self.once("1", b"x", "?ttl=1")
        self.clock.advance(59)
        self.again(first, self.once("1", b"x", "?ttl=1"))
        self.clock.advance(120)
        self.new(self.once("1", b"x", "?ttl=1"))


class FormTests(OnceTestCase):
    """How a key is written."""

    def test_quotes(self) -> None:
        """It is said what is wrong with one that is not quoted."""
        for value, detail in (
            ("1", f"is not quoted: {QUOTE_IT}"),
            ("order-4711", f"is not quoted: {QUOTE_IT}"),
            ("'1'", f"is not quoted: {QUOTE_IT}"),
            ('1"', f"is not quoted: {QUOTE_IT}"),
            ("", f"is not quoted: {QUOTE_IT}"),
            ('"1', f"is not properly quoted: {QUOTE_IT}"),
            ('"', f"is not properly quoted: {QUOTE_IT}"),
            ('"1" ; a=1', f"is not properly quoted: {QUOTE_IT}"),
            ('"1", "2"', f"is not properly quoted: {QUOTE_IT}"),
            ('"a"b"', f"is not properly quoted: {QUOTE_IT}"),
            ('"a\\b"', f"is not properly quoted: {QUOTE_IT}"),
            ('"a\\"', f"is not properly quoted: {QUOTE_IT}"),
            ('"a\tb"', f"is not properly quoted: {QUOTE_IT}"),
            ('"\u00c3\u00a9"', f"is not properly quoted: {QUOTE_IT}"),
            ('"\u00e9"', "is not UTF-8 text"),
            ('""', "has 0 characters between its quotes, and not 1 to 255"),
            ('"' + "x" * 256 + '"', "has 256 characters between its quotes, and not 1 to 255"),
            ('"' + "\\\\" * 256 + '"', "has 256 characters between its quotes, and not 1 to 255"),
        ):
            errors = self.errors("invalid-parameters", self.append(Idempotency_Key=value))
            self.assertEqual(errors, {"Idempotency-Key": detail}, value)
        self.assertEqual(self.texts(), [])

    def test_escapes(self) -> None:
        """A quote and a backslash are escaped by one, which does not count."""
        first = self.append(Idempotency_Key='"a\\"b\\\\c"')
        self.again(first, self.append(Idempotency_Key='"a\\"b\\\\c"'))
        self.new(self.append(Idempotency_Key='"' + "\\\\" * 255 + '"'))
        self.new(self.append(Idempotency_Key='" "'))
        self.new(self.append(Idempotency_Key='  "!#$%&\'()*+,-./:;<=>?@[]^_`{|}~"  '))

    def test_twice(self) -> None:
        """It is unclear which one is meant."""
        for values in (('"1"', '"2"'), ('"1"', '"1"')):
            fields = [*OWNER.items(), *(("Idempotency-Key", value) for value in values)]
            errors = self.errors("invalid-parameters", self.ask("POST", "/v2/app/queues/q/messages", fields, b"x"))
            self.assertEqual(errors, {"Idempotency-Key": "came more than once"})

    def test_stream(self) -> None:
        """A stream as a whole has none."""
        response = self.append(b"{}", content_type=LINES, Idempotency_Key='"1"')
        self.assertEqual(list(self.errors("invalid-parameters", response)), ["Idempotency-Key"])


AppendOnce = Callable[[Queue, Sequence[NewMessage], WriteTerms, Once], Deferred[Appended]]
