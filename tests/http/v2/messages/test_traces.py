"""traceparent over v2: kept with each message, and handed out with it again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from queuey.http.v2.inputs.items import MAX_HEADERS
from tests.http.api_support import BATCH, LINES, OWNER, fields_of
from tests.http.group_support import GroupTestCase
from tests.http.responses import Response

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT, STATE = f"00-{TRACE}-{SPAN}-01", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
OWN = f"00-{'1' * 32}-{'2' * 16}-00"
TOLD = {"traceparent": PARENT, "tracestate": STATE}


class TraceTests(GroupTestCase):
    """The context of the request that brought a message."""

    def traced(self, body: bytes, kind: str | None = None, **fields: str) -> Response:
        """Append with a context."""
        headers = fields_of({**TOLD, **fields} | ({} if kind is None else {"Content-Type": kind}))
        return self.raw("POST", self.path(), headers, body)

    def headers(self) -> list[dict[str, Any]]:
        """The own headers of all messages, as a page has them."""
        found = self.expect(200, self.send("GET", self.path("?limit=1000")))["messages"]
        return [message["headers"] for message in found]

    def test_handed_out(self) -> None:
        """With pages in both forms, single reads, claims, and what a group gives up."""
        self.make("dead")
        self.made(dead_letter="dead")
        (stored,) = self.expect(201, self.traced(b"x"))["messages"]
        self.assertEqual(self.headers(), [TOLD])
        line = self.raw("GET", self.path(), {**OWNER, "Accept": LINES}).body.split(b"\n")[0]
        self.assertEqual(json.loads(line)["headers"], TOLD)
        headers = self.one(stored["id"]).header("queuey-headers")
        self.assertEqual(json.loads(unquote(headers or "")), TOLD)
        (claimed,) = self.claimed()
        self.assertEqual(claimed["headers"], TOLD)
        self.assertEqual(self.settled(reject=[claimed["receipt"]]), ["dead-lettered"])
        (letter,) = self.expect(200, self.send("GET", self.path("", "dead")))["messages"]
        self.assertEqual({name: letter["headers"][name] for name in TOLD}, TOLD)

    def test_every_form(self) -> None:
        """JSON, text and bytes, batches and streams: each message has it, beside what its sender gave it."""
        own = '{"from":"shop"}'
        self.expect(201, self.traced(b"{}", "application/json"))
        self.expect(201, self.traced(b"\xff", Queuey_Headers=own))
        items = [{"body": "a"}, {"body": "b", "headers": {"from": "shop"}}, {"body_base64": "AAEC"}]
        self.expect(201, self.traced(json.dumps({"messages": items}).encode(), BATCH))
        self.assertEqual(self.traced("\n".join(map(json.dumps, items)).encode(), LINES).status, 200)
        shop = {"from": "shop", **TOLD}
        self.assertEqual(self.headers(), [TOLD, shop, TOLD, shop, TOLD, TOLD, shop, TOLD])

    def test_a_context_of_its_own(self) -> None:
        """A message that says more than its request keeps what it says."""
        items = [{"body": "a", "headers": {"traceparent": OWN}}, {"body": "b", "headers": {"traceparent": 5}}]
        self.expect(201, self.traced(json.dumps({"messages": items}).encode(), BATCH))
        self.assertEqual(self.traced("\n".join(map(json.dumps, items)).encode(), LINES).status, 200)
        self.expect(201, self.traced(b"x", Queuey_Headers=json.dumps({"tracestate": "a=1"})))
        expected = [{"traceparent": OWN}, {"traceparent": 5}]
        self.assertEqual(self.headers(), [*expected, *expected, {"tracestate": "a=1"}])

    def test_put(self) -> None:
        """What overwrites a message has a context of its own, or none."""
        (stored,) = self.expect(201, self.append(b"x", traceparent=OWN))["messages"]
        for fields, headers in ((TOLD, [TOLD]), ({}, [{}])):
            self.assertEqual(self.raw("PUT", self.path(f"/{stored['id']}"), fields_of(fields), b"y").status, 204)
            self.assertEqual(self.headers(), headers)

    def test_wrong_ones(self) -> None:
        """They are ignored, and never refused; a state does not stay without its parent."""
        wrong = (f"{PARENT}-more", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", PARENT.upper(), "", "\xe9")
        for parent in wrong:
            self.expect(201, self.append(b"x", traceparent=parent, tracestate=STATE))
        self.expect(201, self.append(b"x", tracestate=STATE))
        twice = [*OWNER.items(), ("traceparent", PARENT), ("TraceParent", PARENT)]
        self.expect(201, self.ask("POST", f"/v2/app{self.path()}", twice, b"x"))
        self.assertEqual(self.headers(), [{}] * 8)
        self.expect(201, self.append(b"x", traceparent=PARENT, tracestate="a=1,a=2"))
        self.assertEqual(self.headers()[8:], [{"traceparent": PARENT}])

    def test_other_versions_and_fields(self) -> None:
        """A later version becomes the one that is known; states that come apart become one."""
        fields = [("traceparent", f"cc-{TRACE}-{SPAN}-03-more"), ("tracestate", "a=1"), ("TraceState", "b=2 ")]
        self.expect(201, self.ask("POST", f"/v2/app{self.path()}", [*OWNER.items(), *fields], b"x"))
        self.assertEqual(self.headers(), [{"traceparent": PARENT, "tracestate": "a=1,b=2"}])

    def test_no_room(self) -> None:
        """Own headers of the greatest size are taken as they are."""
        own = {"a": "x" * (MAX_HEADERS - 8)}
        self.expect(201, self.traced(b"x", Queuey_Headers=json.dumps(own)))
        self.assertEqual(self.headers(), [own])

    def test_a_retry_is_of_another_span(self) -> None:
        """It is the same request all the same, and the first one's context stays."""
        for parent in (PARENT, OWN):
            answer = self.expect(201, self.append(b"x", traceparent=parent, Idempotency_Key='"k"'))
            self.assertEqual(answer["duplicate"], parent == OWN)
            line = json.dumps({"body": "y", "idempotency_key": "l"}).encode()
            told = json.loads(self.traced(line, LINES, traceparent=parent).body.split(b"\n")[0])
            self.assertEqual(told["duplicate"], parent == OWN)
        self.assertEqual(self.headers(), [{"traceparent": PARENT}, TOLD])

    def test_v1(self) -> None:
        """The first API has no place for it: it neither keeps nor shows any."""
        self.expect(201, self.ask("POST", "/v1/app/q", {**OWNER, **TOLD}, b"x"))
        self.assertEqual(self.headers(), [{}])
        self.expect(201, self.traced(b"y"))
        (_, second) = self.read("/v1/app/q")
        self.assertEqual((second["body"], "headers" in second), ("y", False))
