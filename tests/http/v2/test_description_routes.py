"""The API description names the routes, the header fields of every answer, and the media types."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.problems import MEDIA_TYPE
from queuey.http.v2.inputs.items import BYTES
from queuey.http.v2.inputs.parameters import JSON
from queuey.http.v2.live.frames import SSE
from queuey.http.v2.messages.appends import BATCH
from queuey.http.v2.queues import PATCH
from queuey.http.v2.streams.results import NDJSON
from tests.http.api_support import V2TestCase
from tests.http.described import codes_of, document, inlined, operations
from tests.http.v2.test_description_limits import ALWAYS

POSTS_THAT_READ = ("/v2/{application}/reads", "/v2/{application}/events")


class RouteTests(V2TestCase):
    """The paths of the file are the routes of a daemon."""

    def test_routes(self) -> None:
        """Every route of v2 is described, and no other."""
        root: Any = self.assembly.site.hooks.resource
        routes = {re.sub("<(.*?)>", r"{\1}", name) for name in root._endpoints if " /v2" in name}
        described = {f"{method} {path}" for method, path, _ in operations(document())}
        self.assertEqual(routes - {"OPTIONS /v2/openapi.json"}, described)

    def test_application(self) -> None:
        """What an application tells of itself is described, member by member, and so are its limits."""
        told = self.expect(200, self.ask("GET", "/v2/app"))
        schema = inlined()["components"]["schemas"]["Application"]
        limits = schema["properties"]["limits"]
        self.assertEqual((set(told), set(told)), (set(schema["required"]), set(schema["properties"])))
        self.assertEqual(set(told["limits"]), set(limits["required"]))
        self.assertEqual(set(told["limits"]), set(limits["properties"]))


class AnswerTests(SynchronousTestCase):
    """Header fields and media types of all answers."""

    def setUp(self) -> None:
        self.written, self.whole = document(), inlined()

    def test_everywhere(self) -> None:
        """What any request to an application's paths may meet is said of all of them."""
        for method, path, operation in operations(self.whole):
            refusals = [answer for status, answer in operation["responses"].items() if status >= "400"]
            codes = {code for refusal in refusals for code in codes_of(refusal)}
            expected = {"invalid-parameters", "method-not-allowed", "too-large", "internal", "unavailable"}
            if path != "/v2/openapi.json":
                expected |= {"unauthorized", "no-such-application", "content-encoding"}
            if method != "GET" and path not in POSTS_THAT_READ:
                expected |= {"storage-full", "forbidden"}
            self.assertEqual(expected - codes, set(), f"{method} {path}")
            for status, answer in operation["responses"].items():
                self.assertLessEqual(ALWAYS, set(answer["headers"]), f"{method} {path} {status}")

    def test_media_types(self) -> None:
        """Bodies have the types that the code takes and gives."""
        found = set()
        for _, _, operation in operations(self.whole):
            found.update(operation.get("requestBody", {}).get("content", ()))
            for answer in operation["responses"].values():
                found.update(answer.get("content", ()))
        self.assertEqual(found, {"*/*", BYTES, "text/plain", JSON, BATCH, NDJSON, PATCH, SSE, MEDIA_TYPE})
