"""What was found out of a head is gone by when the same head comes again, and no longer than that it is so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs

from queuey import config
from queuey.http.connection.limits import AccessLine
from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.signing import Grant, sign
from queuey.storage.caching import CachedStore
from tests.http.api_support import KEY, NOW, OTHER, OTHER_KEY, OWNER, SETTINGS, SPARE_KEY
from tests.http.responses import Response
from tests.http.wire_support import Client, Connection, Fields, encode_request
from tests.ops.support import OpsTestCase

QUEUES = ("/v1/{0}/q", "/v2/{0}/queues/q/messages")
"""Where messages are posted and read in both APIs, by application."""

NO_CREDENTIALS: dict[str, str] = {}

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
        """Put settings in force that were changed in the file, as SIGHUP does.

        The HTTP server forgets heads where its limits may have changed. What is found out of them must not need that.
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
        anybody = self.reads(NO_CREDENTIALS)
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
        reads = [self.again("GET", f"{path}?{query}", NO_CREDENTIALS) for path in self.paths()]
        self.answered_by(reads, 200)
        self.clock.advance(59)
        self.answered_by(reads, 200)
        self.clock.advance(1)
        self.answered_by(reads, 401)
        self.make_queue("q", type="public")
        self.reads(NO_CREDENTIALS)
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
        other = Client(self.make_assembly(self.settings).ops)
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
