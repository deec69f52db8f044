"""The headers of messages over v2."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.http.api_support import OWNER, MessagesTestCase
from tests.http.responses import Response
from tests.http.v2.messages.test_messages import BAD_HEADERS, OURS


class HeadersTests(MessagesTestCase):
    """Queuey-Headers: what a sender says beside the body."""

    def headers(self, value: str) -> dict[str, object]:
        """What is kept of a field."""
        self.expect(201, self.append(Queuey_Headers=value))
        (message,) = self.page("limit=1&order=desc")["messages"]
        return dict(message["headers"])

    def test_kept(self) -> None:
        """They come back as they are, numbers and all."""
        given = {"a": 1, "é": "\N{PILE OF POO}", "n": None, "l": [1.5, True, {"x": []}], "": "", "big": 10**20}
        for value in (quote(json.dumps(given, ensure_ascii=False)), quote(json.dumps(given)), json.dumps(given)):
            self.assertEqual(self.headers(value), given)
        id = self.page("limit=1&order=desc")["messages"][0]["id"]
        field = self.one(id).header("queuey-headers") or ""
        self.assertEqual(self.headers(field), given)
        self.assertEqual(self.headers("{}"), {})
        self.assertEqual(self.headers("%7b%20%7d"), {})

    def test_absent(self) -> None:
        """An empty field is none."""
        self.assertEqual(self.headers(""), {})

    def test_limit(self) -> None:
        """8 KiB as compact JSON in UTF-8."""
        room = 8192 - len('{"a":""}')
        self.assertEqual(self.headers(quote(json.dumps({"a": "x" * room}))), {"a": "x" * room})
        self.assertEqual(len(self.headers(quote('{"a":"%s"}' % ("é" * (room // 2))))["a"]), room // 2)  # type: ignore[arg-type]
        response = self.append(Queuey_Headers=quote('{"a":"%s"}' % ("x" * (room + 1))))
        self.assertEqual(
            self.errors("invalid-parameters", response),
            {"Queuey-Headers": "has 8193 bytes as compact JSON; at most 8192 are allowed"},
        )

    def test_bad(self) -> None:
        """Nothing but an object in JSON."""
        for value in ("x", "[]", "1", "null", '"a"', "{", "{} {}", "{'a': 1}", '{"a": NaN}', '{"a": 1, "a": 2}', "%",
                      "%7B%ff%7D", '{"a": "\\ud800"}', "%00"):  # fmt: skip
            errors = self.errors("invalid-parameters", self.append(Queuey_Headers=value))
            self.assertEqual(errors, {"Queuey-Headers": BAD_HEADERS}, value[:20])
        response = self.append(Queuey_Headers='{"a":' * 4000 + "1" + "}" * 4000)
        self.assertEqual(list(self.errors("invalid-parameters", response)), ["Queuey-Headers"])
        fields = [*OWNER.items(), ("Queuey-Headers", "{}"), ("Queuey-Headers", "{}")]
        errors = self.errors("invalid-parameters", self.ask("POST", "/v2/app/queues/q/messages", fields, b"x"))
        self.assertEqual(errors, {"Queuey-Headers": "came more than once"})
        self.assertEqual(self.texts(), [])

    def test_long_keys(self) -> None:
        """A key is kept with its message, and pages and claims count the bytes of bodies alone."""
        self.expect(201, self.send("POST", f"{self.path()}?key={'%C3%BC' * 512}", b"x"))
        errors = self.errors("invalid-parameters", self.send("POST", f"{self.path()}?key={'%C3%BC' * 513}", b"x"))
        self.assertEqual(errors, {"key": "has 1026 bytes in UTF-8; at most 1024 are allowed"})
        errors = self.errors("invalid-body", self.batch([{"body": "x", "key": "k" * 1025}]))
        self.assertEqual(errors, {"/messages/0/key": "has 1025 bytes in UTF-8; at most 1024 are allowed"})

    def test_names_of_ours(self) -> None:
        """No client can send the header fields of Queuey: that a message is for one group, or a dead letter."""
        for name in ("queuey-only", "queuey-dead-letter", "queuey-", "Queuey-Origin", "QUEUEY-x"):
            response = self.append(Queuey_Headers=json.dumps({"a": 1, name: "x"}))
            self.assertEqual(self.errors("invalid-parameters", response), {"Queuey-Headers": OURS}, name)
        self.assertEqual(self.texts(), [])
        given = {"queuey": 1, "x-queuey-only": 2, "queuey_only": 3, "a": {"queuey-only": 4}}
        self.assertEqual(self.headers(json.dumps(given)), given)

    def test_nested(self) -> None:
        """However deep headers may go, who can store them can read them, also where more calls lead there."""
        depths = [depth for depth in range(20, 1400, 20) if self.nested(depth).status == 201]
        self.assertIn(20, depths)
        self.assertLess(max(depths), 1380)

        def read(calls: int) -> bytes:
            return read(calls - 1) if calls else self.raw("GET", self.path("?limit=1000")).body

        found = read(150)
        self.assertEqual(found.count(b'{"a":"\\u00e9"}'), len(depths))
        self.assertEqual(self.flushLoggedErrors(), [])

    def nested(self, depth: int) -> Response:
        value = '{"a":' * depth + '"é"' + "}" * depth
        return self.append(Queuey_Headers=quote(value))
