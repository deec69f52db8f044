"""The whole API in memory: the real daemon on the memory store, with a clock that tests set."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.http.answers.problems import CODES
from queuey.interfaces import Capabilities, IPushSender, IStore, ITraces, IWeb
from queuey.logs import open_log
from queuey.service.assembly import Assembly, assemble
from queuey.storage.caching import CachedStore
from queuey.storage.layers import StoreLayer
from queuey.storage.memory import MemoryStore
from tests.http.compiled import keep_what_is_compiled
from tests.http.responses import Response
from tests.http.wire_support import Client, Fields

NOW = 1_700_000_000.0
KEY, OTHER_KEY, SPARE_KEY = "the-key-of-app", "the-key-of-other", "another-key-of-app"
OWNER = {"Authorization": f"Application {KEY}"}
OTHER = {"Authorization": f"Application {OTHER_KEY}"}

BATCH = "application/vnd.queuey.messages+json"
LINES = "application/x-ndjson"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{7}Z"

SETTINGS = f"""
[storage]
backend = memory
[application_keys]
app = {KEY}
    {SPARE_KEY}
other = {OTHER_KEY}
"""

keep_what_is_compiled()


def no_web() -> IWeb:
    """A client for verifiers and issuers in tests in which none may be asked."""
    raise AssertionError("nobody is to be asked")


def set_promises(store: IStore, capabilities: Capabilities) -> None:
    """Let the innermost store promise something else."""
    while isinstance(store, StoreLayer):
        store = store._store
    store.capabilities = capabilities


class ApiTestCase(SynchronousTestCase):
    """Sends requests to a daemon of its own."""

    settings = SETTINGS
    traces: ITraces | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = self.make_store()
        self.store.open()
        self.assembly = self.make_assembly(self.settings)
        self.client = Client(self.assembly.site)

    def make_store(self) -> IStore:
        numbers, told = count(1), self.clock.seconds
        store = MemoryStore(self.clock, told, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", Random(7).getrandbits)
        return CachedStore(store, 100)

    def make_web(self) -> IWeb:
        """What asks verifiers and issuers."""
        return no_web()

    def make_sender(self, reactor: Any, networks: Any) -> IPushSender | None:
        """What sends pushes; most tests have none."""
        return None

    def make_assembly(self, settings: str) -> Assembly:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
        log = open_log(None, "text", "info", 2, self.clock.seconds)
        read = config.load(file)
        seconds, sender = self.clock.seconds, self.make_sender
        return assemble(read, self.clock, seconds, self.store, log, self.make_web, self.traces, push_sender=sender)

    def ask(self, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Response:
        """Send a request; its answer must be JSON."""
        return self.client.request(method, path, headers, body)

    def expect(self, status: int, response: Response) -> Any:
        """What an answer of that status says."""
        self.assertEqual(response.status, status, response)
        return response.json

    def refused(self, status: int, response: Response) -> dict[str, str]:
        """The errors that an answer of that status names."""
        self.assertEqual(response.status, status, response)
        return response.error

    def form(self, method: str, path: str, headers: Fields = OWNER, /, **fields: str) -> Response:
        typed = [*dict(headers).items(), ("Content-Type", "application/x-www-form-urlencoded")]
        return self.ask(method, path, typed, urlencode(fields).encode())

    def make_queue(self, name: str = "q", **fields: str) -> str:
        """Make a queue of the application ``app``, and give its path."""
        self.expect(201, self.form("POST", "/v1/app", queue_name=name, **fields))
        return f"/v1/app/{name}"

    def post(self, queue: str, body: str | bytes, headers: Fields = OWNER, /, **options: str) -> Response:
        """Post one message; options are ``ttl`` and ``partition``."""
        fields = [
            *dict(headers).items(),
            *((f"X-{name.title() if name != 'ttl' else 'TTL'}", v) for name, v in options.items()),
        ]
        return self.ask("POST", queue, fields, body.encode() if isinstance(body, str) else body)

    def posted(self, queue: str, body: str, **options: str) -> dict[str, Any]:
        """Post one message, and give what is said of it."""
        (stored,) = self.expect(201, self.post(queue, body, **options))["messages"]
        return dict(stored)

    def post_json(self, queue: str, document: Any, content_type: str = "application/json") -> Response:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", queue, [*OWNER.items(), ("Content-Type", content_type)], body)

    def read(self, queue: str, query: str = "", headers: Fields = OWNER) -> list[dict[str, Any]]:
        """The messages that a read gives."""
        answer = self.expect(200, self.ask("GET", queue + (f"?{query}" if query else ""), headers))
        self.assertEqual(answer["status"], "ok")
        messages: list[dict[str, Any]] = answer["messages"]
        return messages

    def bodies(self, queue: str, query: str = "") -> list[str]:
        """The bodies that a read gives."""
        return [message["body"] for message in self.read(queue, query)]


class V2TestCase(ApiTestCase):
    """Sends requests of v2 to a daemon of its own."""

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Fields = OWNER,
        content_type: str | None = "application/json",
    ) -> Response:
        """Send a request whose answer is JSON.

        :param path: below that of the application ``app``; with a slash or ``?`` at its beginning, or empty.
        :param body: bytes, or what is sent as JSON.
        :param content_type: of a body that is given.
        """
        fields = list(dict(headers).items())
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None and content_type is not None:
            fields.append(("Content-Type", content_type))
        response = self.ask(method, f"/v2/app{path}", fields, data)
        if response.body:
            self.assertEqual(response.body[-1:], b"\n", response)
        return response

    def problem(self, code: str, response: Response) -> dict[str, Any]:
        """The problem that an answer tells of, which has that code, and all that goes with it."""
        self.assertEqual(response.header("content-type"), "application/problem+json", response)
        document: dict[str, Any] = response.json
        self.assertEqual(document["code"], code, document)
        kind = CODES[code]
        self.assertEqual(
            (response.status, document["status"], document["title"], document["retryable"], document["type"]),
            (kind.status, kind.status, kind.title, kind.retryable, f"urn:queuey:problem:{code}"),
        )
        self.assertEqual(document["instance"], response.header("x-request-id"))
        self.assertIn(document["applied"], ("no", *["unknown"] * kind.unknown, *["partly"] * kind.partly))
        self.assertTrue(document["detail"])
        self.assertEqual((response.header("cache-control"), response.header("vary")), ("no-store", "Origin, Accept"))
        if kind.status == 503:
            self.assertIsNotNone(response.header("retry-after"))
        return document

    def errors(self, code: str, response: Response) -> dict[str, str]:
        """What a problem says is wrong, by parameter or pointer."""
        errors = self.problem(code, response)["errors"]
        found = {error.get("parameter", error.get("pointer")): error["detail"] for error in errors}
        self.assertEqual(len(found), len(errors))
        return found


def fields_of(given: dict[str, str]) -> dict[str, str]:
    """The owner's header fields, and others whose names are spelled with underscores."""
    return {**OWNER, **{name.replace("_", "-"): value for name, value in given.items()}}


class MessagesTestCase(V2TestCase):
    """Messages of v2 in the queue ``q``."""

    partitions = 1

    def setUp(self) -> None:
        super().setUp()
        self.make("q", partitions=self.partitions)

    def make(self, name: str, **settings: Any) -> None:
        """Make a queue."""
        self.expect(201, self.send("PUT", f"/queues/{name}", settings))

    def path(self, rest: str = "", queue: str = "q") -> str:
        """The path of messages, as ``send`` takes it."""
        return f"/queues/{queue}/messages{rest}"

    def append(self, body: bytes = b"x", query: str = "", content_type: str | None = None, **fields: str) -> Response:
        """Post one message to ``q``."""
        return self.send("POST", self.path(query), body, fields_of(fields), content_type)

    def appended(self, body: bytes | str = b"x", query: str = "", queue: str = "q", **fields: str) -> str:
        """The id of a message that is posted."""
        data = body.encode() if isinstance(body, str) else body
        response = self.send("POST", self.path(query, queue), data, fields_of(fields), None)
        (message,) = self.expect(201, response)["messages"]
        return str(message["id"])

    def batch(self, messages: Any, query: str = "", **fields: str) -> Response:
        """Post a batch, or bytes in its place."""
        document = messages if isinstance(messages, bytes) else {"messages": messages}
        return self.send("POST", self.path(query), document, fields_of(fields), BATCH)

    def page(self, query: str = "", queue: str = "q") -> dict[str, Any]:
        """A page, which is as every page has to be."""
        response = self.send("GET", self.path(f"?{query}" if query else "", queue))
        page: dict[str, Any] = self.expect(200, response)
        self.check_page(page, response)
        ids = [message["id"] for message in page["messages"]]
        self.assertEqual(ids, sorted(set(ids), reverse="order=desc" in query))
        return page

    def check_page(self, page: dict[str, Any], response: Response) -> None:
        """What is true of each page."""
        first = ["first"] if page["resume"] == "truncated" else []
        self.assertEqual(list(page), ["messages", "next", "more", "stable_until", "resume", *first])
        self.assertIn(page["resume"], ("exact", "truncated"))
        self.assertRegex(page["next"], r"\A[A-Za-z0-9_-]{1,512}\Z")
        self.assertRegex(page["stable_until"], rf"\A{TIME}\Z")
        link = response.header("link")
        self.assertEqual(page["more"], link is not None)
        if link is not None:
            self.assertRegex(link, rf'\A</v2/app/queues/[^>]*[?&]after={page["next"]}>; rel="next"\Z')
        settled = response.header("etag") is not None
        self.assertLessEqual(settled, page["more"])
        cached = "private, no-cache" if settled else "no-store"
        self.assertEqual((response.header("cache-control"), response.header("vary")), (cached, "Origin, Accept"))
        for message in page["messages"]:
            body = "body" if "body" in message else "body_base64"
            members = ["id", "partition", "timestamp", "expires", "content_type", "headers", body]
            self.assertEqual(list(message), members)
            self.assertRegex(message["id"], rf"\A[0-9a-f]{{32}}-{message['partition']}\Z")
            self.assertRegex(message["timestamp"] + message["expires"], rf"\A{TIME}{TIME}\Z")

    def texts(self, query: str = "", queue: str = "q") -> list[str]:
        """The bodies on a page."""
        return [message["body"] for message in self.page(query, queue)["messages"]]

    def raw(self, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Response:
        """The answer to a request, which may be of any type."""
        connection = self.client.start(method, f"/v2/app{path}", headers, body)
        response = connection.response(method, only_json=False)
        connection.hang_up()
        return response

    def one(self, id: str, method: str = "GET", queue: str = "q", **fields: str) -> Response:
        """The answer to a request for one message."""
        return self.raw(method, self.path(f"/{id}", queue), fields_of(fields))

    def gone(self, response: Response) -> None:
        """A message is not there."""
        self.assertEqual(self.problem("no-such-message", response)["applied"], "no")
