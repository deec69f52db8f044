"""Each parameter and each member of a body is refused if it is not as ``openapi.json`` says, and taken if it is.

The cases are generated from the description: a bound that differs between it and the code fails here, whichever of the
two was changed.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from queuey.model import fields
from tests.http import refusals
from tests.http.api_support import LINES, OWNER, SETTINGS
from tests.http.described import codes_of, inlined, operations
from tests.http.group_support import GroupTestCase
from tests.http.responses import BadAnswer, Response

Described = tuple[str, str, Any]

STRANGERS = ("traceparent", "tracestate", "If-Range")
"""Header fields that are ignored if they are wrong."""

MESSAGES = ("application/octet-stream", "text/plain", "application/json")
"""Types of messages, which may be any bytes."""

PUSHING = f"""{SETTINGS}
[application:app]
push = true
push_hosts = example.com
[push]
secrets = {"0" * 64}
"""

MANY = 200
"""Partitions of the queue: as many as the description allows."""

BESIDES = {"purgeMessages": {"before": "now"}, "followQueues": {"queue": "q"}}
"""Parameters that an operation needs besides."""


ABSENT = (b"has no queue of that name", b"is not the `next` of an earlier answer")
"""What refusals say of a value that is allowed and refers to something which is not there."""


class RefusalTestCase(GroupTestCase):
    """A queue, a group and a message, and requests of each operation."""

    partitions = MANY
    settings = PUSHING

    def setUp(self) -> None:
        super().setUp()
        self.made()
        self.expect(201, self.send("PUT", "/queues/q/pushes/p", {"url": "https://hooks.example.com/"}))
        schedule = {"cron": "0 0 1 1 *", "message": {"body": "x"}}
        self.expect(201, self.send("PUT", "/queues/q/schedules/s", schedule))
        self.message = self.appended("some bytes")
        self.places = {"application": "app", "queue": "q", "id": self.message, "group": "g"}
        self.places |= {"push": "p", "secret": "0" * 12, "schedule": "s"}
        self.cases = self.others = 0

    def another(self) -> str:
        """Make a queue that may be closed, since nothing else uses it, and return its name."""
        self.others += 1
        name = f"another-{self.others}"
        self.assertEqual(self.send("PUT", f"/queues/{name}", {"partitions": MANY}).status, 201)
        return name

    def described(self) -> Iterator[tuple[str, str, Any, list[Any]]]:
        """Give each operation with its parameters."""
        description = inlined()
        for method, path, operation in operations(description):
            yield method, path, operation, [*description["paths"][path].get("parameters", ()), *operation["parameters"]]

    def ask_at(
        self,
        operation: Described,
        query: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        **places: str,
    ) -> Response:
        """Send a request of an operation."""
        method, path, described = operation
        for name, value in BESIDES.get(described["operationId"], {}).items():
            if described["operationId"] == "followQueues" and name not in query:
                query = f"{query}&{name}={value}".removeprefix("&")
        if described["operationId"] == "followChosenQueues" and not body:
            body, headers = b'{"queues": ["q"]}', {"Content-Type": "application/json", **(headers or {})}
        target = re.sub(r"\{(\w+)\}", lambda match: quote({**self.places, **places}[match[1]], safe=""), path)
        sent = [*OWNER.items(), *(headers or {}).items()]
        connection = self.client.start(method, target + (f"?{query}" if query else ""), sent, body)
        for pause in (*[0] * 10, fields.WAIT.high):
            with contextlib.suppress(BadAnswer):  # an answer that has not come as a whole yet
                if any(one.status >= 200 for one in connection.responses(method, only_json=False)):
                    break
            self.clock.advance(pause)  # large bodies are read in turns; a request may wait for messages
            if pause:
                self.assembly.live.leave(pause)  # live reads do not end by themselves
        response = connection.response(method, only_json=False)
        connection.hang_up()
        self.assertLess(response.status, 500, (operation[:2], query, body[:200], headers))
        if response.status >= 400 and method != "HEAD":
            codes = codes_of(described["responses"][str(response.status)])
            self.assertIn(response.json["code"], codes, (operation[:2], query, body[:200], headers))
        return response

    def refusal(self, response: Response, place: str, said: Any) -> str:
        """Return what a refusal says of one place, which is the only one that it names."""
        self.assertEqual(response.status, 400, said)
        self.assertEqual(response.header("content-type"), "application/problem+json", said)
        problem = response.json
        self.assertEqual(problem["applied"], "no", said)
        self.assertLess(len(response.body), 4000, said)
        found = {error.get("parameter", error.get("pointer")): error["detail"] for error in problem.get("errors", ())}
        self.assertIn(place, found, (said, problem))
        self.cases += 1
        return str(found[place])

    def is_bad_cursor(self, response: Response) -> bool:
        """Tell whether a request was refused for a cursor; that refusal has a code of its own, and names no place."""
        found = bool(response.json.get("code") == "invalid-cursor")
        self.cases += found
        return found

    def taken(self, response: Response, place: str, said: Any) -> None:
        """The request is not refused for what it has at one place."""
        if response.status == 400 and not any(text in response.body for text in ABSENT):
            named = [error.get("parameter", error.get("pointer")) for error in response.json.get("errors", ())]
            self.assertNotIn(place, named, (said, response.body))
            self.assertNotIn("", named, (said, response.body))
        self.cases += 1


class QueryTests(RefusalTestCase):
    """Parameters in the query."""

    def test_each_is_refused(self) -> None:
        """Out of bounds, of another type, unmatched, empty, given twice, under another name."""
        for method, path, operation, parameters in self.described():
            asked = (method, path, operation)
            for parameter in parameters:
                if parameter["in"] == "query":
                    self.check(asked, parameter)
            besides = {} if operation["operationId"] == "describe" else BESIDES.get(operation["operationId"], {})
            for name in ("unknown", "Limit", "limit%5B%5D"):
                query = "&".join([f"{name}=1", *(f"{key}={value}" for key, value in besides.items())])
                self.refusal(self.ask_at(asked, query), name.replace("%5B%5D", "[]"), (asked[:2], query))
        self.assertGreater(self.cases, 300)

    def check(self, asked: Described, parameter: Any) -> None:
        """One parameter of one operation."""
        name, schema = parameter["name"], parameter["schema"]
        headers = {"Content-Type": LINES} if name == "results" else {}
        for text in refusals.texts(schema, allowed=False):
            query = f"{name}={quote(text, safe='')}"
            response = self.ask_at(asked, query, headers=headers)
            if self.is_bad_cursor(response):
                continue
            detail = self.refusal(response, name, (asked[:2], query))
            if "minimum" in schema:
                self.assertIn(f" from {schema['minimum']} to {schema['maximum']}", detail)
        for query in (name, f"{name}="):
            self.assertIn("is empty", self.refusal(self.ask_at(asked, query, headers=headers), name, asked[:2]))
        good = next(iter(refusals.texts(schema, allowed=True)))
        if schema.get("type") != "array":
            query = f"{name}={good}&{name}={good}"
            detail = self.refusal(self.ask_at(asked, query, headers=headers), name, (asked[:2], query))
            self.assertEqual(detail, "is given more than once")

    def test_each_is_taken(self) -> None:
        """The bounds themselves, and each word."""
        for method, path, operation, parameters in self.described():
            for parameter in parameters:
                if parameter["in"] == "query":
                    for text in refusals.texts(parameter["schema"], allowed=True):
                        headers = {"Content-Type": LINES} if parameter["name"] == "results" else {}
                        query = f"{parameter['name']}={quote(text, safe='')}"
                        queue = self.another() if query == "close=true" else "q"
                        response = self.ask_at((method, path, operation), query, headers=headers, queue=queue)
                        self.taken(response, parameter["name"], (method, path, query))
        self.assertGreater(self.cases, 40)


class FieldTests(RefusalTestCase):
    """Header fields."""

    def test_each_is_refused(self) -> None:
        """Texts that the pattern does not match; fields that come twice, unless they are lists."""
        for method, path, operation, parameters in self.described():
            for parameter in parameters:
                name, schema = parameter["name"], parameter["schema"]
                if parameter["in"] != "header" or name in STRANGERS:
                    continue
                for text in (*refusals.TEXTS, '"a', 'a"', '"a" "b"', "{", "%7B", "bytes=", "bytes=a-b", "W/a"):
                    if text in ("", "\n", "\u0000") or text.strip() != text or refusals.fits(schema, text):
                        continue
                    response = self.ask_at((method, path, operation), headers={name: text})
                    if name == "Last-Event-ID" and self.is_bad_cursor(response):
                        continue
                    self.refusal(response, name, (method, path, name, text))
        self.assertGreater(self.cases, 150)


class BodyTests(RefusalTestCase):
    """Members of JSON bodies, and of the messages in batches and streams."""

    def schemas(self) -> Iterator[tuple[Described, str, Any]]:
        """Give each body of each operation: its media type and its schema."""
        for method, path, operation, _ in self.described():
            for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
                if kind not in MESSAGES or operation["operationId"] not in ("appendMessages", "putMessage"):
                    yield (method, path, operation), kind, content["schema"]

    def send_body(self, asked: Described, kind: str, body: Any, name: str) -> Response:
        """Send a body to a queue and a group of its own; what is made by one does not stand in the way of another."""
        places = {"queue": name} if asked[2]["operationId"] == "putQueue" else {}
        if asked[2]["operationId"] == "patchQueue":
            places = {"queue": self.another()}
        if asked[2]["operationId"] in ("putGroup", "putPush"):
            places = {"group": name, "push": name}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if kind != LINES:
            return self.ask_at(asked, body=data, headers={"Content-Type": kind}, **places)
        response = self.ask_at(asked, body=data, headers={"Content-Type": kind}, **places)
        first = response.body.split(b"\n")[0]
        return response if response.status != 200 else _of_line(response, first)

    def test_each_is_refused(self) -> None:
        """Out of bounds, of another type, unmatched, too long, null, unknown, missing."""
        for asked, kind, schema in self.schemas():
            schema = schema["contentSchema"] if kind == LINES else schema
            for case in refusals.bodies(schema, allowed=False):
                response = self.send_body(asked, kind, case.body, "new")
                self.named(response, case, (asked[:2], kind, repr(case.body)[:300]))
            for name in ("queues/new", "groups/new"):
                if "queues" in name or asked[1].count("group"):
                    path = f"/{name}" if "queues" in name else f"/queues/q/{name}"
                    self.assertEqual(self.send("GET", path).status, 404, asked[:2])
        self.assertGreater(self.cases, 900)

    def named(self, response: Response, case: refusals.Case, said: Any) -> None:
        """A refusal names the place, a part of it, or what it is part of."""
        self.assertEqual(response.status, 400, said)
        self.assertEqual(response.json["code"], "invalid-body", said)
        pointers = [error["pointer"] for error in response.json["errors"]]
        near = [one for one in pointers if one.startswith(case.place) or case.place.startswith(one)]
        self.assertEqual(near, pointers, (said, response.body))
        self.assertLess(len(response.body), 40_000, said)
        self.cases += 1

    def test_each_is_taken(self) -> None:
        """The bounds themselves, each word, the shortest and the longest."""
        for asked, kind, schema in self.schemas():
            schema = schema["contentSchema"] if kind == LINES else schema
            for number, case in enumerate(refusals.bodies(schema, allowed=True)):
                response = self.send_body(asked, kind, case.body, f"n{asked[0]}{number}")
                self.taken(response, case.place, (asked[:2], kind, repr(case.body)[:300]))
        self.assertGreater(self.cases, 200)

    def test_a_name_that_is_given_twice(self) -> None:
        for asked, kind, schema in self.schemas():
            name = next(iter((schema["contentSchema"] if kind == LINES else schema)["properties"]))
            body = b'{"%b": 1, "%b": 1}' % (name.encode(), name.encode())
            response = self.send_body(asked, kind, body, "new")
            self.assertEqual((response.status, response.json["code"]), (400, "invalid-body"), (asked[:2], kind))
            self.assertIn(f'the name "{name}" twice', response.json["detail"])


def _of_line(response: Response, line: bytes) -> Response:
    """The answer to one line of a stream, as if it were one of its own."""
    found = json.loads(line)
    return response.__class__(found.get("status", 200), response.headers, line)
