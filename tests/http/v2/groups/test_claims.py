"""Claims over v2: who gets which messages, for how long, once more under a key, and after a wait."""

from __future__ import annotations

import gc
import json
from base64 import b64decode
from collections import Counter
from typing import Any

from queuey.http.heads.plan import Decision
from queuey.http.v2.groups.claims import MAX_REMEMBERED
from queuey.interfaces import Capabilities
from tests.http.api_support import OTHER, OWNER, SETTINGS, set_promises
from tests.http.group_support import PATCH, GroupTestCase
from tests.http.wire_support import Client, Connection, encode_request


class ClaimTests(GroupTestCase):
    """POST /v2/{app}/queues/{queue}/groups/{group}/claims."""

    def test_makes_the_group(self) -> None:
        """For the application's key, from the oldest message on, with the defaults, once."""
        self.appended("a")
        self.problem("no-such-group", self.send("GET", self.group()))
        self.assertEqual(self.given(), ["a"])
        version = self.get()["version"]
        self.assertEqual(self.given(), [])
        self.assertEqual((self.get()["version"], self.get()["start"]), (version, "oldest"))

    def test_given(self) -> None:
        """A message is as in reads, with its receipt, its deliveries, and its lease."""
        headers = "%7B%22from%22%3A%22shop%22%7D"
        self.append(b"a", "?ttl=60", "text/plain", Queuey_Headers=headers)
        self.append(b"\xff\x00", "?ttl=60", "image/png")
        given = self.claimed(lease=5)
        read = self.page()["messages"]
        for one, other in zip(given, read, strict=True):
            self.assertEqual({name: one[name] for name in other}, other)
            self.assertEqual((one["deliveries"], one["lease"]), (1, 5))
            self.assertEqual(one["lease_until"], "2023-11-14T22:13:25.0000000Z")
        self.assertEqual((given[0]["headers"], given[1]["body_base64"]), ({"from": "shop"}, "/wA="))
        self.assertEqual(len({one["receipt"] for one in given}), 2)

    def test_each_to_one(self) -> None:
        """No message is given twice while its lease lives, and groups do not disturb each other or readers."""
        bodies = [f"{number}" for number in range(25)]
        self.batch([{"body": body} for body in bodies])
        self.assertEqual(self.given() + self.given() + self.given() + self.given(), bodies)
        self.assertEqual(self.given("other", limit=1000), bodies)
        self.assertEqual(self.texts("limit=25"), bodies)

    def test_defaults(self) -> None:
        """Ten messages, the group's lease, no wait, one mebibyte; no body is as good as an empty one."""
        self.made(lease=77)
        self.batch([{"body": f"{number}"} for number in range(40)])
        for body in (None, b"", {}, {"limit": None, "lease": None, "wait": None, "max_bytes": None,
                                     "partitions": None}):  # fmt: skip
            found = self.expect(200, self.ask_claim(body))["messages"]
            self.assertEqual((len(found), found[0]["lease"]), (10, 77))
        self.assertEqual(self.given(), [])

    def test_lease_ends(self) -> None:
        """Then the message is given again, under another receipt, and counted."""
        self.appended("a")
        (first,) = self.claimed(lease=5)
        self.clock.advance(4.9)
        self.assertEqual(self.claimed(), [])
        self.clock.advance(0.2)
        (second,) = self.claimed(lease=5)
        self.assertEqual((second["body"], second["deliveries"]), ("a", 2))
        self.assertNotEqual(first["receipt"], second["receipt"])
        self.assertEqual(self.stale("no", ack=[first["receipt"]]), ["stale"])
        self.assertEqual(self.settled(ack=[second["receipt"]]), ["acked"])

    def test_expired_and_deleted(self) -> None:
        """What is no more is not given, also where its lease ends."""
        self.appended("short", "?ttl=5")
        gone, kept = self.appended("gone"), self.appended("kept")
        self.assertEqual(self.given(lease=2), ["short", "gone", "kept"])
        self.assertEqual(self.one(gone, "DELETE").status, 204)
        self.clock.advance(6)
        self.assertEqual([message["id"] for message in self.claimed()], [kept])
        self.assertEqual(self.lag()["behind"], {"count": 1, "exact": True})

    def test_delayed(self) -> None:
        """A message that is not due yet is not given before, and none after it waits for it."""
        self.appended("later", "?delay=5")
        self.appended("now")
        self.assertEqual(self.given(), ["now"])
        self.clock.advance(5.5)
        self.assertEqual(self.given(), ["later"])

    def test_max_bytes(self) -> None:
        """As reads have it: what fits, and what is larger alone."""
        for size in (10, 60, 10, 500, 10):
            self.append(b"x" * size, content_type="text/plain")
        sizes = [[len(body) for body in self.given(max_bytes=80)] for _ in range(4)]
        self.assertEqual(sizes, [[10, 60, 10], [500], [10], []])

    def test_in_order(self) -> None:
        """Of a group with ``order``, one message of a partition at a time."""
        self.made(order="partition")
        self.batch([{"body": body} for body in "abc"])
        (first,) = self.claimed(limit=10)
        self.assertEqual((first["body"], self.given()), ("a", []))
        self.settled(retry=[first["receipt"]])
        (first,) = self.claimed()
        self.assertEqual((first["body"], first["deliveries"]), ("a", 2))
        self.settled(ack=[first["receipt"]])
        self.assertEqual(self.given(), ["b"])

    def test_blocked(self) -> None:
        """Where as many are in flight as may be it says so, until one of them is settled."""
        self.made(max_in_flight=1000)
        self.batch([{"body": f"{number}"} for number in range(1000)])
        self.appended("last")
        receipts = self.receipts(limit=1000)
        self.assertEqual(len(receipts), 1000)
        answer = self.expect(200, self.ask_claim())
        self.assertEqual(answer, {"messages": [], "blocked": "in-flight-limit"})
        self.settled(ack=receipts[:1])
        self.assertEqual(self.given(), ["last"])
        self.settled(ack=receipts[1:])
        self.assertEqual(self.expect(200, self.ask_claim()), {"messages": []})

    def test_large(self) -> None:
        """Many mebibytes leave in pieces, as fast as the client takes them."""
        self.client = Client(self.make_assembly(f"{SETTINGS}[server]\nmax_body = 2MiB\n[application:app]\n"
                                             "max_body = 2MiB\n").site)  # fmt: skip
        body = bytes(range(256)) * 4096
        for _ in range(8):
            self.expect(201, self.append(body))
        path = f"/v2/app{self.group('/claims')}"
        connection = Connection(self.assembly.site)
        connection.transport.greedy = False
        fields = {**OWNER, "Content-Type": "application/json"}
        connection.send(encode_request("POST", path, fields, b'{"max_bytes": 16777216}'))
        self.assertLess(len(connection.received), 2 << 20)
        for _ in range(1000):
            connection.transport.read()
            self.clock.advance(0)
        answer = connection.response("POST")
        self.assertEqual(answer.header("transfer-encoding"), "chunked")
        messages = json.loads(answer.body)["messages"]
        self.assertEqual([b64decode(message["body_base64"]) for message in messages], [body] * 8)
        connection.hang_up()
        self.assertEqual(len(self.settled(ack=[message["receipt"] for message in messages])), 8)

    def test_on_one_connection(self) -> None:
        """Each claim is what its own body says, also if the head is the same; and the bounds are those of the queue as
        it is now."""
        self.batch([{"body": f"{number}"} for number in range(7)])
        connection = Connection(self.assembly.site)
        fields = {**OWNER, "Content-Type": "application/json"}

        def ask(body: bytes, key: str = "") -> Any:
            more = {"Idempotency-Key": f'"{key}"'} if key else {}
            connection.send(encode_request("POST", f"/v2/app{self.group('/claims')}", {**fields, **more}, body))
            self.clock.advance(0)
            answer = connection.response("POST")
            connection.transport.clear()
            return json.loads(answer.body)

        def given(body: bytes, key: str = "") -> list[str]:
            return [message["body"] for message in ask(body, key)["messages"]]

        for body, expected in ((b'{"limit":1}', ["0"]), (b'{"limit":1}', ["1"]), (b'{"limit":2}', ["2", "3"])):
            self.assertEqual(given(body), expected)
        for _ in range(2):
            self.assertIn("limit", json.dumps(ask(b'{"limit":0}')))
        for key, expected in (("a", ["4"]), ("b", ["5"]), ("a", ["4"])):
            self.assertEqual(given(b'{"limit":1}', key), expected)
        self.assertEqual(given(b'{"limit":1}'), ["6"])
        second = b'{"partitions":[2],"limit":1}'
        self.assertEqual(ask(second)["code"], "invalid-body")
        self.expect(200, self.send("PATCH", "/queues/q", {"partitions": 2}, content_type=PATCH))
        self.assertEqual((given(second), given(second)), ([], []))

    def test_long_bodies(self) -> None:
        """A long body is not remembered, so that connections stay small."""
        self.batch([{"body": "a"}, {"body": "b"}])
        path = f"/v2/app{self.group('/claims')}"
        fields = {**OWNER, "Content-Type": "application/json"}
        for length, kept in ((MAX_REMEMBERED, MAX_REMEMBERED), (MAX_REMEMBERED + 1, 0)):
            connection = Connection(self.assembly.site)
            for _ in range(2):
                connection.send(encode_request("POST", path, fields, b'{"limit":1}'.ljust(length)))
                self.clock.advance(0)
                self.assertEqual(connection.response("POST").status, 200)
                connection.transport.clear()
            decisions = [each for each in gc.get_objects() if isinstance(each, Decision)]
            self.assertEqual(max(len(each.claim[0]) if each.claim else 0 for each in decisions), kept)
            connection.hang_up()
            del decisions

    def test_wrong(self) -> None:
        """Everything that is wrong is named, and nothing is taken, nor is a group made."""
        self.appended("a")
        number = "is not a whole number from 1 to"
        cases: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
            ({"limit": 0}, {"/limit": f"{number} 1000"}),
            ({"partitions": [2]}, {"/partitions/0": "must be 1"}),
            ({"partitions": [1, "1", 1, 0, 1.5]}, {"/partitions": "has 5 partitions, and the queue has 1"}),
            ({"limt": 1, "a/b": 2}, dict.fromkeys(
                ("/limt", "/a~1b"),
                "is not known; known here: limit, lease, wait, max_bytes, partitions, settle, json")),
            ({"limit": 0, "lease": 0}, {"/limit": f"{number} 1000", "/lease": f"{number} 43200"}),
        )  # fmt: skip
        for body, errors in cases:
            self.assertEqual(self.errors("invalid-body", self.ask_claim(body)), errors, body)
        self.problem("no-such-group", self.send("GET", self.group()))
        self.made()
        for body, errors in cases:
            self.assertEqual(self.errors("invalid-body", self.ask_claim(body)), errors, body)
        self.assertEqual(self.given(wait=20, limit=1.0), ["a"])

    def test_no_groups(self) -> None:
        """Where the store has none, they are refused, with the reason."""
        store: Any = self.store
        set_promises(store, Capabilities("on paper", True, "No keys.", "No transactions."))
        for method, rest, body in (("PUT", "", None), ("POST", "/claims", None)):
            problem = self.problem("not-promised", self.send(method, self.group(rest), body))
            self.assertIn("No transactions.", problem["detail"])
            self.assertEqual(problem["applied"], "no")
        answer = self.expect(200, self.send("GET", ""))
        self.assertEqual((answer["no_groups"], "groups" in answer["features"]), ("No transactions.", False))


class PartitionTests(GroupTestCase):
    """Claims of several partitions."""

    partitions = 3

    def test_all(self) -> None:
        """One claim gets from all of them, until it has enough; each message once."""
        for number in range(30):
            self.appended(f"{number}", f"?partition={number % 3 + 1}")
        found = [self.given(limit=7) for _ in range(6)]
        self.assertEqual([len(some) for some in found], [7, 7, 7, 7, 2, 0])
        everything = [body for some in found for body in some]
        self.assertEqual(sorted(everything, key=int), [f"{number}" for number in range(30)])

    def test_oldest_first(self) -> None:
        """In one answer they are in the order of their ids, as on a page."""
        for number in range(9):
            self.appended(f"{number}", f"?partition={number % 3 + 1}")
        self.assertEqual(self.given(), [f"{number}" for number in range(9)])

    def test_some(self) -> None:
        """Only those that are asked for."""
        for number in (1, 2, 3):
            self.appended(f"{number}", f"?partition={number}")
        self.assertEqual(self.given(partitions=[2]), ["2"])
        self.assertEqual(self.given(partitions=[3, 2]), ["3"])
        self.assertEqual(self.given(), ["1"])

    def test_added(self) -> None:
        """What is posted to a new partition is given too."""
        self.made()
        self.assertEqual(self.given(), [])
        self.expect(200, self.send("PUT", "/queues/q", {"partitions": 5}))
        self.appended("x", "?partition=5")
        self.assertEqual(self.given(), ["x"])
        self.assertEqual(len(self.get()["lag"]), 5)


class KeyTests(GroupTestCase):
    """Claims with an Idempotency-Key."""

    def test_again(self) -> None:
        """The same messages and receipts, while the lease lives; then it is a new claim."""
        self.batch([{"body": body} for body in "abcd"])
        first = self.claimed(key="k", limit=2, lease=5)
        self.assertEqual([message["body"] for message in first], ["a", "b"])
        self.clock.advance(4)
        self.assertEqual(self.claimed(key="k", limit=2, lease=5), first)
        self.assertEqual(self.given(key="other", limit=1, lease=60), ["c"])
        self.clock.advance(1.1)
        again = self.claimed(key="k", limit=2, lease=5)
        self.assertEqual([(message["body"], message["deliveries"]) for message in again], [("a", 2), ("b", 2)])

    def test_settled(self) -> None:
        """What was settled meanwhile is not given once more."""
        self.batch([{"body": body} for body in "ab"])
        first = self.claimed(key="k")
        self.settled(ack=[first[0]["receipt"]])
        self.assertEqual(self.claimed(key="k"), first[1:])

    def test_whose(self) -> None:
        """A key is of one caller, and of one group."""
        self.make("shared", principals=["app:app", "app:other"])
        self.made("g", "shared")
        for body in "abc":
            self.appended(body, queue="shared")
        fields = {"Idempotency-Key": '"k"', "Content-Type": "application/json"}
        path = f"/v2/app{self.group('/claims', 'g', 'shared')}"
        for caller, body in ((OWNER, "a"), (OTHER, "b"), (OWNER, "a"), (OTHER, "b")):
            answer = self.expect(200, self.ask("POST", path, {**caller, **fields}, b'{"limit": 1}'))
            self.assertEqual([message["body"] for message in answer["messages"]], [body])
        self.assertEqual(self.given("h", "shared", "k", limit=1), ["a"])

    def test_many(self) -> None:
        """A partition takes so many keys at a time; claims without one go on, and a lease that ends makes room."""
        self.batch([{"body": f"{number}"} for number in range(300)])
        for number in range(256):
            self.assertEqual(self.given(key=f"{number}", limit=1, lease=60), [f"{number}"])
        answer = self.expect(200, self.ask_claim(None, Idempotency_Key='"one more"'))
        self.assertEqual(answer, {"messages": [], "blocked": "in-flight-limit"})
        self.assertEqual(self.given(limit=1, lease=600), ["256"])
        self.assertEqual(self.given(key="7", limit=1, lease=60), ["7"])
        self.clock.advance(61)
        self.assertEqual(self.given(key="one more", limit=1), ["0"])

    def test_syntax(self) -> None:
        """As with appending."""
        for key in ("k", '"', '""', '"' + "k" * 256 + '"', '"ü"'):
            response = self.ask_claim(None, Idempotency_Key=key)
            self.assertEqual(list(self.errors("invalid-parameters", response)), ["Idempotency-Key"])
        self.expect(200, self.ask_claim(None, Idempotency_Key='"' + "k" * 255 + '"'))

    def test_at_most_once(self) -> None:
        """There is none: what was given is settled."""
        self.made(guarantee="at-most-once")
        self.appended("a")
        errors = self.errors("invalid-parameters", self.ask_claim(None, Idempotency_Key='"k"'))
        text = "is not taken by a group that is given each message at most once"
        self.assertEqual(errors, {"Idempotency-Key": text})
        self.assertEqual(self.given(), ["a"])


class KeysOfPartitionsTests(GroupTestCase):
    """Claims with an Idempotency-Key in a queue of several partitions."""

    partitions = 3

    def test_again(self) -> None:
        """Whichever partition has messages, a repeat gives the same, and no other claim gets those."""
        for number in range(6):
            self.appended(f"{number}", f"?partition={number % 3 + 1}")
        first = {key: self.claimed(key=key, limit=2) for key in ("a", "b", "c", "d", "e")}
        for key, messages in first.items():
            self.assertEqual(self.claimed(key=key, limit=2), messages, key)
        given = Counter(message["body"] for messages in first.values() for message in messages)
        self.assertEqual(given, Counter(f"{number}" for number in range(6)))

    def test_one_partition(self) -> None:
        """The key may be at home where there is nothing."""
        for partition in (1, 2, 3):
            body = f"in {partition}"
            self.appended(body, f"?partition={partition}")
            first = self.claimed(key=body)
            self.assertEqual([message["body"] for message in first], [body])
            self.assertEqual(self.claimed(key=body), first)


class AtMostOnceTests(GroupTestCase):
    """Groups that are given each message at most once."""

    def test_no_receipt(self) -> None:
        """Messages are settled before the answer, and carry neither receipt nor lease."""
        self.made(guarantee="at-most-once", lease=1)
        self.appended("a")
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"], "receipt" in message), ("a", 1, False))
        self.clock.advance(60)
        self.assertEqual(self.given(), [])
        self.assertEqual(self.lag()["behind"], {"count": 0, "exact": True})

    def test_by_the_queue(self) -> None:
        """The guarantee may be the queue's."""
        self.make("once", guarantee="at-most-once")
        self.appended("a", queue="once")
        response = self.ask_claim(None, "g", "once", Idempotency_Key='"k"')
        self.assertEqual(list(self.errors("invalid-parameters", response)), ["Idempotency-Key"])
        self.problem("no-such-group", self.send("GET", self.group("", "g", "once")))
        (message,) = self.claimed(queue="once")
        self.assertNotIn("receipt", message)
        response = self.ask_claim(None, "g", "once", Idempotency_Key='"k"')
        self.assertEqual(list(self.errors("invalid-parameters", response)), ["Idempotency-Key"])
