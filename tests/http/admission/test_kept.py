"""What was found out of a head is gone by when the same head comes again, and no longer than that it is so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
from twisted.internet.defer import Deferred

from queuey import config
from queuey.errors import Unavailable
from queuey.http.connection import channel
from queuey.http.connection.limits import AccessLine
from queuey.http.heads.head import Head
from queuey.http.heads.head_reader import HeadReader
from queuey.model.application import digest_of, key_id
from queuey.model.signing import Grant, sign
from queuey.storage.caching import CachedStore
from tests.counted import counted
from tests.http.api_support import BATCH, KEY, NOW, OTHER, OTHER_KEY, OWNER, SETTINGS, SPARE_KEY
from tests.http.wire_support import Client, Connection, Fields, Response, encode_request
from tests.ops.support import OpsTestCase

QUEUES = ("/v1/{0}/q", "/v2/{0}/queues/q/messages")
"""Where messages are posted and read in both APIs, by application."""

NOBODY: dict[str, str] = {}

NEW_ID = b"an-id-that-is-new"


class Again:
    """A request that is made again and again on the same connection, in the same bytes but for an id that is new."""

    def __init__(self, client: Client, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None):
        self._connection = Connection(client.site)
        self._data = encode_request(method, path, headers, body)
        self._number = 0

    def __call__(self) -> Response:
        """The answer to one more."""
        answered = len(self._connection.responses())
        (response,) = self.begin().responses()[answered:]
        return response

    def begin(self) -> Connection:
        """Make one more, whose answer may take its time."""
        self._number += 1
        return self._connection.send(self._data.replace(NEW_ID, b"%d" % self._number))


class KeptTestCase(OpsTestCase):
    """Requests of both APIs on a queue ``q`` of ``app``, each on a connection of its own that is kept."""

    store: CachedStore
    new_ids = False
    """Whether each request has an id of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.make_queue()
        self.asked: list[str] = []
        self.spied()

    def spied(self) -> None:
        """Note what the store is asked of queues."""
        describe = self.store.describe

        def noted(application: str, names: Any) -> Any:
            self.asked.extend(names)
            return describe(application, names)

        self.patch(self.store, "describe", noted)

    def posts(self, headers: Fields = OWNER, application: str = "app") -> list[Again]:
        """Posts that went well, and are made again without asking anybody."""
        return self.made([self.again("POST", path, headers, b"x") for path in self.paths(application)], 201)

    def reads(self, headers: Fields = OWNER, application: str = "app") -> list[Again]:
        """Reads of the same kind."""
        return self.made([self.again("GET", path, headers) for path in self.paths(application)], 200)

    def paths(self, application: str = "app") -> list[str]:
        return [path.format(application) for path in QUEUES]

    def again(self, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Again:
        own = [("X-Request-Id", NEW_ID.decode())] if self.new_ids else []
        given = headers.items() if isinstance(headers, Mapping) else headers
        return Again(self.client, method, path, [*given, *own], body)

    def made(self, requests: list[Again], status: int) -> list[Again]:
        self.answered_by(requests, status)
        self.answered_by(requests, status)
        self.asked.clear()
        self.answered_by(requests, status)
        self.assertEqual(self.asked, [])
        return requests

    def answered_by(self, requests: list[Again], *statuses: int) -> None:
        """Make requests once more: that is what they are answered with; one status is that of all."""
        found = [request().status for request in requests]
        self.assertEqual(found, list(statuses) if len(statuses) > 1 else [*statuses] * len(requests))

    def use(self, text: str) -> None:
        """Put settings in force that were written anew, as SIGHUP does.

        The door forgets heads where its limits may have changed. What is found out of them must not need that.
        """
        limits = self.assembly.site.limits
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.assembly.use(config.load(file))
        self.assembly.site.limits = limits


class QueueTests(KeptTestCase):
    """Changes of the queue."""

    def test_deleted(self) -> None:
        requests = [*self.posts(), *self.reads()]
        self.expect(200, self.ask("DELETE", "/v1/app/q"))
        self.answered_by(requests, 404)

    def test_made_anew(self) -> None:
        """What is posted is in the new life, and what was read was in the old one."""
        requests = [*self.posts(), *self.reads()]
        self.expect(200, self.ask("DELETE", "/v1/app/q"))
        self.make_queue()
        for read in requests[2:]:
            self.assertEqual(read().json["messages"], [])
        self.answered_by(requests, 201, 201, 200, 200)
        self.assertEqual(len(self.bodies("/v1/app/q")), 2)

    def test_others_may_no_more(self) -> None:
        """A queue that everybody might read; and one that another application might."""
        self.make_queue("q", type="public")
        anybody = self.reads(NOBODY)
        self.make_queue("q", type="user")
        self.answered_by(anybody, 403, 401)

    def test_an_application_that_may_no_more(self) -> None:
        self.make_queue("q", principles="app:other")
        guests = [self.again("GET", path, OTHER) for path in self.paths()]
        self.answered_by(guests, 200)
        self.answered_by(guests, 200)
        self.make_queue("q", principles="app:another")
        self.answered_by(guests, 403)

    def test_more_partitions(self) -> None:
        """Messages go to all of them at once."""
        posts = self.posts()
        self.make_queue("q", partitions="200")
        found = {post().json["messages"][0]["partition"] for post in posts for _ in range(20)}
        self.assertGreater(len(found), 1)

    def test_another_life_time(self) -> None:
        """Messages live for as long as the queue says now."""
        _, second = self.posts()
        headers = [*OWNER.items(), ("Content-Type", "application/merge-patch+json")]
        self.expect(200, self.ask("PATCH", "/v2/app/queues/q", headers, b'{"ttl": 5}'))
        before = len(self.bodies("/v1/app/q"))
        second()
        self.clock.advance(5)
        self.assertEqual(len(self.bodies("/v1/app/q")), before)

    def test_another_consistency(self) -> None:
        """How a message is stored is said as it is now, of one that has a key, too."""
        _, path = self.paths()
        key = {**OWNER, "Idempotency-Key": f'"{NEW_ID.decode()}"'}
        posts = self.made([self.again("POST", path, own, b"x") for own in (OWNER, key)], 201)
        headers = [*OWNER.items(), ("Content-Type", "application/merge-patch+json")]
        for word in ("very-strong", "strong"):
            body = b'{"consistency": "%b"}' % word.encode()
            self.expect(200, self.ask("PATCH", "/v2/app/queues/q", headers, body))
            for post in (*posts, *posts):
                self.assertEqual(post().json["stored"]["consistency"], word)

    def test_changed_elsewhere(self) -> None:
        """While another worker changes it, nothing is gone by that was known before."""
        posts = self.posts()
        name = ("app", "q")
        self.store.change_elsewhere(name)
        self.answered_by(posts, 201)
        self.answered_by(posts, 201)
        self.assertEqual(self.asked, ["q"] * 4)
        self.store.changed_elsewhere(name)
        self.answered_by(posts, 201)
        self.asked.clear()
        self.answered_by(posts, 201)
        self.assertEqual(self.asked, [])


class SettingsTests(KeptTestCase):
    """Changes of the settings, as SIGHUP brings them."""

    def test_a_key_that_is_gone(self) -> None:
        requests = [*self.posts(), *self.reads()]
        spare = self.posts({"Authorization": f"Application {SPARE_KEY}"})
        self.use(SETTINGS.replace(f"app = {KEY}\n    {SPARE_KEY}", f"app = {SPARE_KEY}"))
        self.answered_by(requests, 401)
        self.answered_by(spare, 201)

    def test_a_key_of_another(self) -> None:
        """A key that was given to another application lets in to that one."""
        requests = [*self.posts(), *self.reads()]
        self.use(SETTINGS.replace(f"app = {KEY}\n    {SPARE_KEY}", f"app = {SPARE_KEY}").replace(OTHER_KEY, KEY))
        self.answered_by(requests, 403)

    def test_an_application_that_is_gone(self) -> None:
        requests = [*self.posts(), *self.reads()]
        self.use(SETTINGS.replace("app =", "app2 ="))
        self.answered_by(requests, 404)

    def test_smaller_bodies(self) -> None:
        posts = self.posts()
        longer = self.made([self.again("POST", path, OWNER, b"xy") for path in self.paths()], 201)
        self.use(f"{SETTINGS}[application:app]\nmax_body = 1\n")
        self.answered_by(posts, 201)
        self.answered_by(longer, 413)
        self.answered_by(longer, 413)

    def test_rates(self) -> None:
        """Each request and each message counts, as soon as there is a rate; and none once there is none."""
        lines: list[AccessLine] = []
        self.assembly.site.hooks = attrs.evolve(self.assembly.site.hooks, access=lines.append)
        posts = self.posts()
        self.use(f"{SETTINGS}[application:app]\nrequest_rate = 1\nrequest_burst = 3\n")
        self.answered_by([*posts, *posts], 201, 201, 201, 429)
        self.use(f"{SETTINGS}[application:app]\nmessage_rate = 1\nmessage_burst = 3\n")
        self.answered_by([*posts, *posts], 201, 201, 201, 429)
        self.use(f"{SETTINGS}[application:app]\nqueue_request_rate = 1\nqueue_request_burst = 3\n")
        self.answered_by([*posts, *posts], 201, 201, 201, 429)
        # Whom a refusal was about is in its access line, as far as that was known by then.
        refused = [(line.application, line.queue) for line in lines if line.status == 429]
        self.assertEqual(refused, [("app", None), ("app", "q"), ("app", "q")])
        self.use(SETTINGS)
        self.answered_by([*posts, *posts], 201)

    def test_limits_of_what_is_stored(self) -> None:
        posts = self.posts()
        self.use(f"{SETTINGS}[application:app]\nmax_messages = 1\n")
        self.answered_by(posts, 507)
        self.use(SETTINGS)
        self.answered_by(posts, 201)

    def test_signed_urls(self) -> None:
        """One that has expired lets in no more, on the same connection either."""
        self.use(f"{SETTINGS}[application:app]\nsigned_urls = true\n")
        digest, grant = digest_of(KEY), Grant("app", "q", "read", str(int(NOW) + 60), "")
        query = urlencode({
            "signed_by": key_id(digest), "signed_for": "read", "signed_until": grant.until,
            "signature": sign(digest, grant),
        })  # fmt: skip
        reads = [self.again("GET", f"{path}?{query}", NOBODY) for path in self.paths()]
        self.answered_by(reads, 200)
        self.clock.advance(59)
        self.answered_by(reads, 200)
        self.clock.advance(1)
        self.answered_by(reads, 401)
        self.make_queue("q", type="public")
        self.reads(NOBODY)
        self.answered_by(reads, 401)

    def test_keys_are_seen_to_be_used(self) -> None:
        """However their requests are let in."""
        posts = self.posts()
        self.clock.advance(45)
        self.asked.clear()
        self.answered_by(posts, 201)
        self.assertEqual(self.asked, [])
        used = {key["used_here"] for key in self.call("keys.list", application="app")}
        self.assertEqual(used, {None, "2023-11-14T22:14:00Z"})


class StoredTests(KeptTestCase):
    """Changes of an application that stands in the store."""

    settings = SETTINGS + "[applications]\nmax_age = 1\n"

    def setUp(self) -> None:
        super().setUp()
        self.call("applications.set", name="shop")
        made = self.call("keys.add", application="shop")
        self.of_key, self.key = made["id"], made["key"]
        self.headers = {"Authorization": f"Application {self.key}"}
        self.expect(201, self.form("POST", "/v1/shop", self.headers, queue_name="q"))
        self.requests = [*self.posts(self.headers, "shop"), *self.reads(self.headers, "shop")]

    def test_a_key_that_is_revoked(self) -> None:
        self.call("keys.revoke", application="shop", id=self.of_key)
        self.answered_by(self.requests, 401)

    def test_removed(self) -> None:
        self.call("applications.remove", name="shop", keep_queues=True)
        self.answered_by(self.requests, 404)

    def test_smaller_bodies(self) -> None:
        longer = self.made([self.again("POST", path, self.headers, b"xy") for path in self.paths("shop")], 201)
        self.call("limits.set", application="shop", max_body=1)
        self.answered_by(longer, 413)

    def test_changed_by_another_front_end(self) -> None:
        """It is known here within ``max_age``."""
        other = Client(self.make_house(self.settings).ops)
        self.ops, ours = other, self.ops
        self.call("keys.revoke", application="shop", id=self.of_key)
        self.clock.advance(1)
        self.answered_by(self.requests, 401)
        self.ops = ours
        self.assertEqual(self.call("keys.list", application="shop"), [])

    def test_the_settings_take_its_key(self) -> None:
        """It lets in to their application then, and no more to this one."""
        self.use(self.settings.replace(OTHER_KEY, self.key))
        self.answered_by(self.requests, 403)

    def test_the_settings_take_its_name(self) -> None:
        """None of the keys that it has in the store lets in then."""
        self.use(self.settings.replace("other =", "shop ="))
        self.answered_by(self.requests, 401)

    def test_keys_are_seen_to_be_used(self) -> None:
        self.clock.advance(45)
        self.answered_by(self.requests, 201, 201, 200, 200)
        (key,) = self.call("keys.list", application="shop")
        self.assertEqual(key["used_here"], "2023-11-14T22:14:00Z")


class NewIdsQueueTests(QueueTests):
    """The same, where each head has an id of its own."""

    new_ids = True


class NewIdsSettingsTests(SettingsTests):
    """The same, where each head has an id of its own."""

    new_ids = True


class NewIdsStoredTests(StoredTests):
    """The same, where each head has an id of its own."""

    new_ids = True


class PlainTests(KeptTestCase):
    """What a head does not say is looked at each time."""

    def test_the_body(self) -> None:
        """Bodies that are refused between others that are not."""
        connection = Connection(self.client.site)
        for body, status in ((b"xx", 201), (b"\xff\xff", 400), (b"xx", 201), (b"\xff\xff", 400), ("é".encode(), 201)):
            connection.send(encode_request("POST", "/v1/app/q", OWNER, body))
            self.assertEqual(connection.responses()[-1].status, status)
        self.assertEqual(self.bodies("/v1/app/q"), ["xx", "xx", "é"])

    def test_batches(self) -> None:
        headers = [*OWNER.items(), ("Content-Type", BATCH)]
        connection = Connection(self.client.site)
        for body, status in ((b'{"messages": [{"body": "a"}]}', 201), (b'{"messages": [{"body": 123}]}', 400),
                             (b'{"messages": [{"body": "b"}]}', 201)):  # fmt: skip
            connection.send(encode_request("POST", "/v2/app/queues/q/messages", headers, body))
            self.assertEqual(connection.responses()[-1].status, status)
        self.assertEqual(self.bodies("/v1/app/q"), ["a", "b"])

    def test_what_heads_say_of_messages(self) -> None:
        """Each message is what it was when its head came for the first time."""
        self.make_queue("q", partitions="3")
        v1, v2 = self.paths()
        batch = b'{"messages": [{"body": "x", "ttl": 7, "partition": 3}]}'
        for path, fields, body, placed in (
            (v1, {}, b"x", False),
            (v1, {"X-TTL": "5"}, b"x", False),
            (v1, {"X-Partition": "2"}, b"x", True),
            (v1, {"Content-Type": "text/html"}, b"x", False),
            (v1, {"Content-Type": "application/json; charset=utf-8"}, batch, True),
            (v2, {}, b"x", False),
            (v2, {"Content-Type": "application/json"}, batch, False),
            (v2, {"Content-Type": BATCH}, batch, True),
            (v2, {"Queuey-Headers": "%7B%22a%22%3A1%7D"}, b"x", False),
            (v2, {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, b"x", False),
            (f"{v2}?ttl=5", {}, b"x", False),
            (f"{v2}?partition=2", {}, b"x", True),
            (f"{v2}?key=k", {}, b"x", True),
        ):
            before = self.messages()
            post = self.again("POST", path, {**OWNER, **fields}, body)
            for _ in range(3):
                self.assertIn(post().status, (200, 201))
            found = [message for id, message in self.messages().items() if id not in before]
            if not placed:
                for message in found:
                    del message["partition"]
            self.assertEqual(found, [found[0]] * 3, (path, fields))

    def messages(self) -> dict[str, dict[str, Any]]:
        """All messages by their ids, with whatever is the same in two that were posted in the same way."""
        page = self.expect(200, self.ask("GET", f"{self.paths()[1]}?limit=1000"))
        kept = dict.fromkeys(("id", "timestamp"))
        return {message["id"]: {**message, **kept, "expires": message["expires"][:19]} for message in page["messages"]}

    def test_what_is_new_each_time(self) -> None:
        """Ids, traces, keys and lengths are those of each request, though all else was found out of another."""
        for path in self.paths():
            connection = Connection(self.client.site)
            for number in (1, 2, 3, 3):
                trace = f"00-0af7651916cd43dd8448eb211c80319{number}-b7ad6b7169203331-01"
                self.asked.clear()
                own = {"X-Request-Id": f"r{number}", "traceparent": trace, "Idempotency-Key": f'"{number}"'}
                connection.send(encode_request("POST", path, {**OWNER, **own}, b"x" * number))
                response = connection.responses()[-1]
                self.assertEqual((response.status, response.header("x-request-id")), (201, f"r{number}"))
            self.assertEqual(self.asked, [])
        found = [(message["body"], message["headers"]) for message in self.messages().values()]
        traces = [
            (body, headers["traceparent"][-21:-19]) for body, headers in found if headers and "traceparent" in headers
        ]
        # v1 knows no keys of writes, and keeps no traces.
        self.assertEqual(sorted(body for body, _ in found), ["x", "x", "xx", "xx", *["xxx"] * 3])
        self.assertEqual(traces, [("x", "1-"), ("xx", "2-"), ("xxx", "3-")])

    def test_heads_that_are_alike(self) -> None:
        """The first one is read, and those that differ in what is new each time are not, until another one comes."""
        read: list[bytes] = []

        class Noted(HeadReader):
            def feed(self, data: bytes) -> Head | None:
                read.append(data)
                return super().feed(data)

        self.patch(channel, "HeadReader", Noted)
        for path in self.paths():
            connection = Connection(self.client.site)
            for number in (1, 2, 3, 14, 15):
                own = {"X-Request-Id": f"r{number}", **({"Accept": "text/html"} if number == 15 else {})}
                connection.send(encode_request("POST", path, {**OWNER, **own}, b"x" * number))
                response = connection.responses()[-1]
                self.assertEqual((response.status, response.header("x-request-id")), (201, f"r{number}"))
            self.assertEqual([data[-3:] for data in read], [b"\r\nx", b"xxx"])
            read.clear()

    def test_what_is_wrong_with_a_head(self) -> None:
        """It is refused as often as it comes."""
        v1, v2 = self.paths()
        for path, fields, status in (
            (v2, {"Content-Encoding": "gzip"}, 415),
            (v2, {"Content-Type": "no type"}, 400),
            (v2, {"Queuey-Headers": "1"}, 400),
            (f"{v2}?colour=red", {}, 400),
            (v1, {"X-TTL": "0"}, 400),
            (v1, {"X-Partition": "2"}, 400),
        ):
            post = self.again("POST", path, {**OWNER, **fields}, b"x")
            self.assertEqual([post().status for _ in range(3)], [status] * 3, (path, fields))

    def test_planned_queues(self) -> None:
        """The first message makes the queue, and so does the first one after its end."""
        self.expect(200, self.ask("DELETE", "/v1/app/q"))
        self.use(f"{SETTINGS}[application:app]\ncreate_queues = on-write\n")
        for path in (path.format("app") for path in QUEUES):
            post = Again(self.client, "POST", path, OWNER, b"x")
            for _ in range(3):
                self.expect(201, post())
            self.expect(200, self.ask("DELETE", "/v1/app/q"))
            for _ in range(3):
                self.expect(201, post())
            self.assertEqual(self.bodies("/v1/app/q"), ["x"] * 3)
            self.expect(200, self.ask("DELETE", "/v1/app/q"))

    def test_keys_of_writes(self) -> None:
        """A repeat under an Idempotency-Key stores nothing more, on the same connection either."""
        post = Again(self.client, "POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x")
        found = [self.expect(201, post()) for _ in range(3)]
        self.assertEqual([answer["duplicate"] for answer in found], [False, True, True])
        self.assertEqual(self.bodies("/v1/app/q"), ["x"])


class HangUpTests(KeptTestCase):
    """A client that goes while its write, or what refuses it, is under way."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[AccessLine] = []
        self.assembly.site.hooks = attrs.evolve(self.assembly.site.hooks, access=self.lines.append)

    def hold(self) -> list[Deferred[None]]:
        """Let writes wait for the test from now on."""
        held = list[Deferred[None]]()

        def patch(name: str) -> None:
            write = getattr(self.store, name)

            def later(*given: Any) -> Deferred[Any]:
                held.append(Deferred())
                return held[-1].addCallback(lambda _: write(*given))

            self.patch(self.store, name, later)

        for name in ("append", "append_once"):
            patch(name)
        return held

    def received(self) -> float:
        return counted(self.assembly.metrics, "queuey_messages_received_total")[("app",)]

    def test_a_write_goes_on(self) -> None:
        """It is stored, it is counted, and those who wait for it are told."""
        posts = self.posts()
        stored, received = len(self.bodies("/v1/app/q")), self.received()
        held = self.hold()
        for post in posts:
            post.begin().hang_up()
        self.assertEqual([line.status for line in self.lines[-2:]], [499, 499])
        newest = self.expect(200, self.ask("GET", QUEUES[1].format("app")))["next"]
        waiting = self.client.start("GET", f"{QUEUES[1].format('app')}?after={newest}&wait=20", OWNER)
        self.assertEqual((waiting.received, len(held)), (b"", 2))
        for write in held:
            write.callback(None)
        self.clock.advance(0)
        self.assertEqual(len(self.bodies("/v1/app/q")), stored + 2)
        self.assertEqual(self.received(), received + 2)
        self.assertTrue(self.expect(200, waiting.response())["messages"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_write_under_a_key_goes_on(self) -> None:
        """It is stored and counted, once: its repeat is told where it is."""
        post = self.again("POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x")
        self.posts()
        stored, received = len(self.bodies("/v1/app/q")), self.received()
        held = self.hold()
        post.begin().hang_up()
        self.assertEqual(self.lines[-1].status, 499)
        held[0].callback(None)
        self.assertEqual((len(self.bodies("/v1/app/q")), self.received()), (stored + 1, received + 1))
        repeat = Again(self.client, "POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x").begin()
        held[1].callback(None)
        self.assertTrue(self.expect(201, repeat.responses()[-1])["duplicate"])
        self.assertEqual((len(self.bodies("/v1/app/q")), self.received()), (stored + 1, received + 1))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_write_that_fails(self) -> None:
        """Nobody is left to be told."""
        posts = self.posts()
        held = self.hold()
        for post in posts:
            post.begin().hang_up()
        for write in held:
            write.errback(Unavailable("The disk is gone."))
        self.assertEqual([line.status for line in self.lines[-2:]], [499, 499])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_answer_waits_for_the_write(self) -> None:
        """And it is of the write, also where the same head has come before."""
        posts = self.posts()
        held = self.hold()
        started = [post.begin() for post in posts]
        answered = [len(connection.responses()) for connection in started]
        held[1].errback(Unavailable("The disk is gone."))
        held[0].callback(None)
        found = [connection.responses()[before:] for connection, before in zip(started, answered, strict=True)]
        self.assertEqual([[one.status for one in some] for some in found], [[201], [503]])

    def test_a_refusal_that_is_held_back(self) -> None:
        """Whoever does not wait for it leaves nothing behind."""
        (post, _) = self.posts()
        self.use(f"{SETTINGS}[application:app]\nrequest_rate = 1\nrequest_burst = 1\n")
        for _ in range(21):
            post()
        timers = len(self.clock.getDelayedCalls())
        connection = post.begin()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers + 1)
        connection.hang_up()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)
        self.assertEqual(self.lines[-1].status, 499)
